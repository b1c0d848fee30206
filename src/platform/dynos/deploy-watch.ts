import { dynoName, type Dyno } from '../../domain/dyno';
import type { AppId, ReleaseId } from '../../domain/ids';
import type { Clock } from '../../lib/clock';
import type { Signal } from '../../lib/signal';
import type { Store } from '../../store/store';

export interface DeployWatchOptions {
  store: Store;
  clock: Clock;
  /** Emits the app whose dynos may have changed. */
  changes: Signal<AppId>;
  /** Who deploys waits no longer than this to hear how its dynos do. */
  patienceMs: number;
}

export interface DeployOutcome {
  /** Names of dynos of the release that crashed: `web.1`. */
  crashed: string[];
}

/** Sees how the dynos of a release start: those who push want to hear of a crash at boot there and then. */
export class DeployWatch {
  readonly #options: DeployWatchOptions;

  constructor(options: DeployWatchOptions) {
    this.#options = options;
  }

  /** Resolves once all dynos of the release are up, one has crashed, or the patience is over. Never rejects. */
  outcome(appId: AppId, releaseId: ReleaseId, signal: AbortSignal): Promise<DeployOutcome> {
    const { clock, changes, patienceMs } = this.#options;
    return new Promise((resolve) => {
      const finish = (): void => {
        cancel();
        unsubscribe();
        signal.removeEventListener('abort', finish);
        resolve({ crashed: this.#dynos(appId, releaseId).filter(hasCrashed).map(dynoName) });
      };
      const look = (): void => {
        if (this.#isSettled(appId, releaseId)) finish();
      };
      const cancel = clock.after(patienceMs, finish);
      const unsubscribe = changes.subscribe((changed) => {
        if (changed === appId) look();
      });
      signal.addEventListener('abort', finish, { once: true });
      look();
    });
  }

  #isSettled(appId: AppId, releaseId: ReleaseId): boolean {
    const dynos = this.#dynos(appId, releaseId);
    if (dynos.some(hasCrashed)) return true;
    const { store } = this.#options;
    const wanted = store.formations.of(appId).reduce((sum, { quantity }) => sum + quantity, 0);
    return dynos.filter(({ state }) => state === 'up').length >= wanted;
  }

  #dynos(appId: AppId, releaseId: ReleaseId): Dyno[] {
    return this.#options.store.dynos
      .of(appId)
      .filter((dyno) => dyno.releaseId === releaseId && dyno.state !== 'down');
  }
}

/** Also one that was started again after its crash. */
function hasCrashed(dyno: Dyno): boolean {
  return dyno.state === 'crashed' || dyno.crashCount > 0;
}
