import type { Actor } from '../../domain/account';
import type { App } from '../../domain/app';
import { dynoSize, parseDynoSize } from '../../domain/dyno-size';
import { invalidParams, PlatformError } from '../../domain/errors';
import { assertHerokuLimits, MAX_DYNOS_PER_APP, parseQuantity, type Formation } from '../../domain/formation';
import type { ProcessTypes } from '../../domain/procfile';
import type { Release } from '../../domain/release';
import { record, type PlatformContext } from '../context';

export interface FormationView extends Formation {
  /** Of the current slug. */
  command: string;
}

export interface FormationUpdate {
  /** Process type, or the formation's id. */
  type: string;
  quantity?: number | string;
  size?: string;
}

export class FormationService {
  readonly #context: PlatformContext;

  constructor(context: PlatformContext) {
    this.#context = context;
  }

  list(app: App): FormationView[] {
    const { store } = this.#context;
    const typesOf = (release: Release | undefined): ProcessTypes =>
      store.slugs.ofRelease(release)?.processTypes ?? {};
    // Those of the newest code too, which may not be in effect (yet): `heroku releases:retry` asks for its `release`.
    const newest = store.releases.of(app.id).findLast(({ slugId }) => slugId !== null);
    const types: ProcessTypes = { ...typesOf(newest), ...typesOf(store.releases.current(app.id)) };
    return store.formations.of(app.id).flatMap((formation) => {
      const command = types[formation.type];
      return command === undefined ? [] : [{ ...formation, command }];
    });
  }

  find(app: App, typeOrId: string): FormationView {
    const found = this.list(app).find((entry) => entry.type === typeOrId || entry.id === typeOrId);
    if (found === undefined) {
      throw new PlatformError('not_found', `Couldn't find that process type (${typeOrId}).`, 'formation');
    }
    return found;
  }

  /** Scales and resizes, all or nothing. Answers the whole formation of the types named. */
  batchUpdate(actor: Actor, app: App, updates: readonly FormationUpdate[]): FormationView[] {
    const { store, clock, logplex, dynoManager, changed } = this.#context;
    const updated = store.transaction(() => {
      const result = new Map<string, FormationView>();
      for (const update of updates) {
        const entry = result.get(update.type) ?? this.find(app, update.type);
        const next: FormationView = { ...entry, updatedAt: clock.now() };
        if (update.quantity !== undefined) next.quantity = parseQuantity(update.quantity, entry.quantity);
        if (update.size !== undefined) next.size = parseDynoSize(update.size);
        store.formations.save(next);
        result.set(next.type, next);
      }
      const formation = store.formations.of(app.id);
      if (this.#context.settings.herokuLimits) assertHerokuLimits(formation);
      const total = formation.reduce((sum, entry) => sum + entry.quantity, 0);
      if (total > MAX_DYNOS_PER_APP) {
        throw invalidParams(`Cannot scale to ${total} dynos: an app can have at most ${MAX_DYNOS_PER_APP}.`);
      }
      const entries = [...result.values()];
      record(this.#context, app.id, actor, 'formation.update', {
        formation: entries.map(({ type, quantity, size }) => ({ type, quantity, size })),
      });
      return entries;
    });
    const scaled = updated.map((entry) => `${entry.type}@${entry.quantity}:${dynoSize(entry.size).title}`);
    if (scaled.length > 0) logplex.api(app.id, `Scaled to ${scaled.join(' ')} by user ${actor.email}`);
    dynoManager.kick(app.id);
    changed(app.id);
    return updated;
  }
}
