import type { AddOnId, TransferId } from '../../../domain/ids';
import { PlatformError } from '../../../domain/errors';
import { isUnderWay, transferName, type Transfer, type TransferKind } from '../../../domain/transfer';
import { EngineError } from '../../../engine/engine';
import type { Logger } from '../../../lib/logger';
import { Turns } from '../../../lib/turns';
import type { PlatformContext } from '../../context';
import { StatementError } from '../database-server';
import { TransferError } from './transfer-error';
import { TransferRun } from './transfer-run';

/** Answers the number of warnings. */
export type TransferWork = (run: TransferRun) => Promise<number>;

/** Why one is called off. */
export class CalledOff extends Error {
  override readonly name = 'CalledOff';
  constructor(readonly why: 'canceled' | 'stopped' | 'late') {
    super(why);
  }
}

interface Active {
  control: AbortController;
  done: Promise<unknown>;
}

/** Nothing goes on for ever. */
const LONGEST_MS = 24 * 3_600_000;

/**
 * Runs transfers: from `pending` over `running` to how they end. Those that concern the same database take turns in the
 * order in which they were asked for; one of two databases (a copy) takes the turns of both, always in the same order.
 */
export class TransferQueue {
  readonly #context: PlatformContext;
  readonly #logger: Logger;
  readonly #turns = new Turns<AddOnId>();
  readonly #active = new Map<TransferId, Active>();
  #isStopping = false;

  constructor(context: PlatformContext, logger: Logger) {
    this.#context = context;
    this.#logger = logger;
  }

  /** `transfer` is a pending row. Resolves once it has ended, whichever way; need not be awaited. */
  begin(transfer: Transfer, databases: readonly AddOnId[], work: TransferWork): Promise<void> {
    const control = new AbortController();
    const done = this.inTurn(databases, () => this.#run(transfer.id, control, work)).catch(
      (error: unknown) => {
        // The store failed: there is nothing to write it to.
        this.#logger.error('a transfer could not be brought to its end', { transfer: transfer.id, error });
      },
    );
    this.#active.set(transfer.id, { control, done });
    void done.finally(() => this.#active.delete(transfer.id));
    return done;
  }

  /** While no transfer concerns any of these databases. */
  inTurn<T>(databases: readonly AddOnId[], work: () => Promise<T>): Promise<T> {
    const [first, ...others] = [...new Set(databases)].sort();
    return first === undefined ? work() : this.#turns.take(first, () => this.inTurn(others, work));
  }

  /** Resolves once it has ended, whichever way. */
  async cancel(transfer: Transfer): Promise<void> {
    const active = this.#active.get(transfer.id);
    if (active === undefined) return;
    active.control.abort(new CalledOff('canceled'));
    const current = this.#context.store.transfers.get(transfer.id);
    if (current?.state === 'pending') this.#end(this.#runOf(current, active.control), 'canceled', 0);
    else await active.done;
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    for (const { control } of this.#active.values()) control.abort(new CalledOff('stopped'));
    await Promise.all([...this.#active.values()].map(({ done }) => done));
  }

  async #run(id: TransferId, control: AbortController, work: TransferWork): Promise<void> {
    const { store, clock } = this.#context;
    const pending = store.transfers.get(id);
    // A pending one that the daemon leaves behind is taken up, or given up, by the next one.
    if (pending === undefined || this.#isStopping || !isUnderWay(pending)) return;
    const started: Transfer = { ...pending, state: 'running', startedAt: clock.now() };
    store.transfers.update(started);
    const run = this.#runOf(started, control);
    const tooLate = clock.after(LONGEST_MS, () => control.abort(new CalledOff('late')));
    try {
      const warnings = await work(run);
      this.#end(run, 'succeeded', warnings);
    } catch (error) {
      const reason: unknown = control.signal.aborted ? control.signal.reason : error;
      this.#end(run, isCanceled(reason) ? 'canceled' : 'failed', 0, reason);
    } finally {
      tooLate();
    }
  }

  #runOf(transfer: Transfer, { signal }: AbortController): TransferRun {
    return new TransferRun(this.#context, transfer, signal);
  }

  #end(
    run: TransferRun,
    state: 'succeeded' | 'failed' | 'canceled',
    warnings: number,
    error?: unknown,
  ): void {
    const what = WHAT[run.transfer.kind];
    const name = transferName(run.transfer);
    if (state === 'succeeded') run.log(`${what} ${name} has finished.`);
    else if (state === 'canceled') run.log(`${what} ${name} was canceled.`);
    else {
      run.log(this.#reasonOf(error, name));
      this.#logger.warn('a transfer failed', { transfer: name, addon: run.addonId, error });
    }
    run.end({ state, warnings });
  }

  #reasonOf(error: unknown, name: string): string {
    if (error instanceof CalledOff) {
      return error.why === 'late' ? 'It took longer than a day.' : 'dynodock was stopped while it ran.';
    }
    if (error instanceof TransferError || error instanceof PlatformError || error instanceof StatementError) {
      return error.message;
    }
    if (error instanceof EngineError) return 'The container of the database went away while it ran.';
    this.#logger.error('a transfer failed unexpectedly', { transfer: name, error });
    return 'It failed for a reason that the log of dynodock tells.';
  }
}

const WHAT: Readonly<Record<TransferKind, string>> = { backup: 'Backup', restore: 'Restore', copy: 'Copy' };

function isCanceled(reason: unknown): boolean {
  return reason instanceof CalledOff && reason.why === 'canceled';
}
