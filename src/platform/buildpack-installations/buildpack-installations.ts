import type { Actor } from '../../domain/account';
import type { App } from '../../domain/app';
import { invalidParams } from '../../domain/errors';
import { record, type PlatformContext } from '../context';

/** `heroku/nodejs`, a URN, or a URL of a git repository or archive. */
const BUILDPACK = /^(urn:buildpack:[\w.-]+\/[\w.-]+|[\w.-]+\/[\w.-]+|(https?|git|ssh|file):\/\/\S+|git@\S+)$/;

/** URLs may carry a user and password, which the audit trail must not hold. */
function withoutCredentials(url: string): string {
  return url.replace(/^(\w+:\/\/)[^/@]*@/, '$1');
}

/** The buildpacks that an app's next build runs, in order. */
export class BuildpackInstallations {
  readonly #context: PlatformContext;

  constructor(context: PlatformContext) {
    this.#context = context;
  }

  get(app: App): string[] {
    return this.#context.store.buildpackInstallations.get(app.id);
  }

  /** An empty list goes back to detection. */
  replace(actor: Actor, app: App, urls: readonly string[]): string[] {
    const { store } = this.#context;
    for (const url of urls) {
      if (!BUILDPACK.test(url)) throw invalidParams(`Invalid buildpack: ${url}`);
    }
    if (new Set(urls).size !== urls.length) throw invalidParams('The same buildpack is listed twice.');
    store.transaction(() => {
      store.buildpackInstallations.replace(app.id, urls);
      record(this.#context, app.id, actor, 'buildpack-installations.update', {
        buildpacks: urls.map(withoutCredentials),
      });
    });
    return this.get(app);
  }
}
