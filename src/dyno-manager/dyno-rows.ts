import { dynoName, type Dyno, type DynoState } from '../domain/dyno';
import type { Clock } from '../lib/clock';
import type { Logplex } from '../logplex/logplex';
import type { Store } from '../store/store';

export interface DynoRowsOptions {
  store: Store;
  logplex: Logplex;
  clock: Clock;
  /** The network sandbox of a dyno that is gone. */
  releaseSandbox: (sandbox: string) => void;
}

/** Changes of dynos in the store, each with its event and what the app's log says of it. */
export class DynoRows {
  readonly #options: DynoRowsOptions;

  constructor(options: DynoRowsOptions) {
    this.#options = options;
  }

  /** Stores the new state and says so; `shown` where the log names another one (a restart goes "to starting"). */
  move(dyno: Dyno, state: DynoState, shown: string = state, more: Partial<Dyno> = {}): void {
    const { store, clock } = this.#options;
    store.transaction(() => {
      const current = store.dynos.get(dyno.id);
      if (current === undefined) return;
      store.dynos.save({ ...current, ...more, state, updatedAt: clock.now() });
      this.record(current, 'dyno.state', { from: current.state, to: state });
      // A dyno that sleeps is "down" to the log, as on Heroku.
      const before = current.state === 'idle' ? 'down' : current.state;
      if (before !== shown) {
        store.afterCommit(() => this.say(dyno, `State changed from ${before} to ${shown}`));
      }
    });
  }

  /** It serves on beside its successor (preboot). */
  supersede(dyno: Dyno): void {
    const { store } = this.#options;
    store.transaction(() => {
      const current = store.dynos.get(dyno.id);
      if (current === undefined) return;
      store.dynos.save({ ...current, superseded: true });
      this.record(current, 'dyno.supersede', {});
    });
  }

  /** Takes its sandbox along. */
  delete(dyno: Dyno): void {
    const { store, releaseSandbox } = this.#options;
    const sandbox = store.dynos.get(dyno.id)?.sandbox ?? dyno.sandbox;
    store.dynos.delete(dyno.id);
    if (sandbox !== null) store.afterCommit(() => releaseSandbox(sandbox));
  }

  /** A one-off dyno has ended: its row goes. `state` is what the log calls its end. */
  conclude(dyno: Dyno, state: 'complete' | 'crashed'): void {
    const { store } = this.#options;
    store.transaction(() => {
      const current = store.dynos.get(dyno.id);
      if (current === undefined) return;
      this.delete(current);
      this.record(current, 'dyno.state', { from: current.state, to: state });
      // One that was told to stop is `down` since then, of which the log has said nothing yet.
      const before = current.state === 'down' ? 'up' : current.state;
      store.afterCommit(() => this.say(dyno, `State changed from ${before} to ${state}`));
    });
  }

  /** Its process has been launched. */
  started(dyno: Dyno): void {
    const { store, clock } = this.#options;
    const current = store.dynos.get(dyno.id);
    if (current !== undefined) store.dynos.save({ ...current, startedAt: clock.now() });
  }

  record(dyno: Dyno, kind: string, payload: Record<string, unknown>): void {
    const { store, clock } = this.#options;
    store.events.append({
      appId: dyno.appId,
      kind,
      payload: { dyno: dynoName(dyno), id: dyno.id, release: dyno.releaseVersion, ...payload },
      actor: 'dyno-manager',
      at: clock.now(),
    });
  }

  say(dyno: Dyno, text: string): void {
    this.#options.logplex.heroku(dyno.appId, dynoName(dyno), text);
  }
}
