import { setTimeout as delay } from 'node:timers/promises';
import type { ApiClient } from '../api-client';
import { CommandError } from '../terminal';

interface DynoJson {
  name: string;
  type: string;
  state: string;
}

/** The time that a dyno has for its boot (R10), and some for more than a few of them. */
const UP_TIMEOUT_MS = 120_000;
const LOOK_MS = 200;

/** An app's number of web dynos, changed for a while. */
export class WebScale {
  readonly #api: ApiClient;
  readonly #app: string;
  readonly #upTimeoutMs: number;
  readonly original: number;

  private constructor(api: ApiClient, app: string, original: number, upTimeoutMs: number) {
    this.#api = api;
    this.#app = app;
    this.original = original;
    this.#upTimeoutMs = upTimeoutMs;
  }

  /** Remembers what there is. Rejects for an app without a web process type. */
  static async of(api: ApiClient, app: string, upTimeoutMs = UP_TIMEOUT_MS): Promise<WebScale> {
    const { quantity } = (await api.get(`/apps/${app}/formation/web`)) as { quantity: number };
    return new WebScale(api, app, quantity, upTimeoutMs);
  }

  /** Resolves once so many are up and no others are there. Dynos that sleep count: the first request wakes them. */
  async to(quantity: number, signal: AbortSignal): Promise<void> {
    await this.#set(quantity);
    const deadline = Date.now() + this.#upTimeoutMs;
    for (;;) {
      const dynos = ((await this.#api.list(`/apps/${this.#app}/dynos`)) as DynoJson[]).filter(
        (dyno) => dyno.type === 'web',
      );
      const ready = dynos.filter((dyno) => dyno.state === 'up' || dyno.state === 'idle').length;
      if (ready === quantity && dynos.length === quantity) return;
      const crashed = dynos.find((dyno) => dyno.state === 'crashed');
      if (crashed !== undefined) {
        throw new CommandError(`${crashed.name} has crashed.`, `To see why: heroku logs --app ${this.#app}`);
      }
      if (Date.now() > deadline) {
        throw new CommandError(
          `Of ${quantity} web dynos ${ready} were up after ${this.#upTimeoutMs / 1000} s.`,
          `To see why: heroku ps --app ${this.#app}`,
        );
      }
      await delay(LOOK_MS, undefined, { signal });
    }
  }

  /** Without waiting until it is so. */
  async back(): Promise<void> {
    try {
      await this.#set(this.original);
    } catch (error) {
      throw new CommandError(
        `${this.#app} could not be scaled back: ${error instanceof Error ? error.message : String(error)}.`,
        `By hand: heroku ps:scale web=${this.original} --app ${this.#app}`,
      );
    }
  }

  async #set(quantity: number): Promise<void> {
    await this.#api.patch(`/apps/${this.#app}/formation/web`, { quantity });
  }
}
