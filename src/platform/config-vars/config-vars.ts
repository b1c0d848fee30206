import type { Actor } from '../../domain/account';
import type { App } from '../../domain/app';
import { ownedByAttachment } from '../../domain/attachment';
import {
  applyConfigVarChanges,
  describeConfigVarChange,
  type ConfigVarChanges,
  type ConfigVars,
} from '../../domain/config-vars';
import { record, type PlatformContext } from '../context';
import type { AddOnAttachments } from '../addons/attachments';
import type { Releases } from '../releases/releases';

export class ConfigVarsService {
  readonly #context: PlatformContext;
  readonly #releases: Releases;
  readonly #attachments: Pick<AddOnAttachments, 'namesToCome'>;

  constructor(
    context: PlatformContext,
    releases: Releases,
    attachments: Pick<AddOnAttachments, 'namesToCome'>,
  ) {
    this.#context = context;
    this.#releases = releases;
    this.#attachments = attachments;
  }

  get(app: App): ConfigVars {
    return this.#context.store.configVars.get(app.id);
  }

  ofRelease(app: App, idOrVersion: string): ConfigVars {
    return this.#releases.find(app, idOrVersion).configVars;
  }

  /**
   * Sets and unsets vars and makes a release of it, also where a var keeps its value, as Heroku does; unsetting
   * only what is not there makes none. Answers all vars.
   */
  update(actor: Actor, app: App, changes: ConfigVarChanges): ConfigVars {
    const { store } = this.#context;
    return store.transaction(() => {
      const owned = store.configVars.owners(app.id);
      const toCome = this.#attachments.namesToCome(app);
      const taken = Object.entries(changes).flatMap(([key, value]) =>
        owned.has(key) || (value !== null && toCome.has(key)) ? [key] : [],
      );
      if (taken.length > 0) throw ownedByAttachment(taken);
      const result = applyConfigVarChanges(store.configVars.get(app.id), changes);
      const description = describeConfigVarChange(result);
      if (description === undefined) return result.vars;
      store.configVars.replace(app.id, result.vars);
      // Names only: the audit trail holds no values.
      record(this.#context, app.id, actor, 'config-vars.update', {
        set: result.set,
        removed: result.removed,
      });
      this.#releases.create(actor, app, { description });
      return result.vars;
    });
  }
}
