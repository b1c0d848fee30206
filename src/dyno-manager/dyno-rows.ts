import { dynoName, type Dyno, type DynoState } from '../domain/dyno';
import type { OneOffEnd } from '../domain/one-off';
import type { Clock } from '../lib/clock';
import type { Logplex } from '../logplex/logplex';
import type { Store } from '../store/store';

export interface DynoRowsOptions {
  store: Store;
  logplex: Logplex;
  clock: Clock;
  /** The network sandbox of a dyno that is gone. */
  releaseSandbox: (sandbox: string) => void;
  /** A one-off dyno has ended: called in the transaction that removes its row, so that neither is known alone. */
  oneOffEnded: (dyno: Dyno, end: OneOffEnd) => void;
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

  /** A one-off dyno has ended: its row goes. */
  conclude(dyno: Dyno, end: OneOffEnd): void {
    const { store, oneOffEnded } = this.#options;
    // That it was told to stop makes its end an orderly one, whatever its status.
    const orderly = end.how === 'stopped' || (end.how === 'exited' && end.status === 0);
    const state = orderly ? 'complete' : 'crashed';
    store.transaction(() => {
      const current = store.dynos.get(dyno.id);
      if (current === undefined) return;
      this.delete(current);
      this.record(current, 'dyno.state', { from: current.state, to: state });
      // One that was told to stop is `down` since then, of which the log has said nothing yet.
      const before = current.state === 'down' ? 'up' : current.state;
      store.afterCommit(() => this.say(dyno, `State changed from ${before} to ${state}`));
      oneOffEnded(current, end);
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
