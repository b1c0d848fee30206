import type { AddOn } from '../../domain/addon';
import type { Logger } from '../../lib/logger';
import type { PlatformContext } from '../context';
import type { AddOns } from './addons';
import { byApp } from './provisioning';

export interface MetricsLogOptions {
  addons: AddOns;
  logger: Logger;
}

const TIMEOUT_MS = 10_000;
/** Databases and caches that are asked at once. */
const AT_ONCE = 2;

/**
 * Lines about add-ons in the logs of their apps, each minute: `app[heroku-postgres]: source=DATABASE addon=… sample#…`
 * (Dev Center "Heroku Postgres Metrics Logs": for plans above Essential).
 */
export class MetricsLog {
  readonly #context: Pick<PlatformContext, 'logplex'>;
  readonly #options: MetricsLogOptions;

  constructor(context: Pick<PlatformContext, 'logplex'>, options: MetricsLogOptions) {
    this.#context = context;
    this.#options = options;
  }

  /** Asks those that run, whose plan has it, and whose apps have a log. */
  async write(): Promise<void> {
    const due = this.#options.addons.all().filter((addon) => this.#apps(addon).length > 0);
    await Promise.all(
      Array.from({ length: AT_ONCE }, async () => {
        for (let addon = due.shift(); addon !== undefined; addon = due.shift()) await this.#writeOf(addon);
      }),
    );
  }

  /** The apps that are told, each with the name under which it knows the add-on. */
  #apps(addon: AddOn): { id: AddOn['appId']; source: string }[] {
    const { addons } = this.#options;
    const offer = addons.catalogue.find(addon);
    if (offer?.provider.kind !== 'container' || offer.provider.commands?.metrics === undefined) return [];
    if (offer.plan.traits['metricsLog'] !== true || !addons.isServing(addon)) return [];
    return [...byApp(addons.attachments.ofAddOn(addon))]
      .filter(([id]) => this.#context.logplex.has(id))
      .map(([id, attachments]) => ({ id, source: addons.attachments.mainName(addon, attachments) }));
  }

  async #writeOf(addon: AddOn): Promise<void> {
    const { addons, logger } = this.#options;
    const offer = addons.catalogue.find(addon);
    const metrics = offer?.provider.kind === 'container' ? offer.provider.commands?.metrics : undefined;
    if (offer === undefined || metrics === undefined) return;
    try {
      const command = metrics({ addon, plan: offer.plan });
      const { exitCode, stdout } = await addons.exec(addon, command, { timeoutMs: TIMEOUT_MS });
      if (exitCode !== 0) throw new Error(`the metrics command ended with status ${exitCode}`);
      const samples = stdout.split('\n').filter((line) => line.startsWith('sample#'));
      if (samples.length === 0) return;
      // Read anew: it may have been detached meanwhile.
      for (const { id, source } of this.#apps(addon)) {
        const text = `source=${source} addon=${addon.name} ${samples.join(' ')}`;
        this.#context.logplex.app(id, processOf(addon), text);
      }
    } catch (error) {
      // One that was stopped or is busy: the next minute has another line.
      logger.debug('the metrics of an add-on could not be read', { addon: addon.name, error });
    }
  }
}

/** As Heroku's log lines name it. */
function processOf({ service }: AddOn): string {
  return service === 'heroku-postgresql' ? 'heroku-postgres' : service;
}
