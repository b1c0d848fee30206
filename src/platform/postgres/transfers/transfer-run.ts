import type { AddOnId } from '../../../domain/ids';
import type { Transfer, TransferLog } from '../../../domain/transfer';
import type { PlatformContext } from '../../context';

/** How often what a transfer has done so far is written down. Each is a flush of the database to the disk. */
const WRITE_EVERY_MS = 1000;
/** Of one line. */
const MAX_MESSAGE = 1000;

/** One transfer while it runs: what it tells of itself. */
export class TransferRun {
  readonly #context: PlatformContext;
  readonly #started: Transfer;
  #lines: TransferLog[] = [];
  #bytes = 0;
  #sourceBytes: number | null;
  #cancelTimer: (() => void) | undefined;
  #hasEnded = false;

  constructor(
    context: PlatformContext,
    transfer: Transfer,
    readonly signal: AbortSignal,
  ) {
    this.#context = context;
    this.#started = transfer;
    this.#sourceBytes = transfer.sourceBytes;
  }

  get id(): Transfer['id'] {
    return this.#started.id;
  }

  get addonId(): AddOnId {
    return this.#started.addonId;
  }

  log(message: string): void {
    this.#lines.push({ at: this.#context.clock.now(), message: message.slice(0, MAX_MESSAGE) });
    this.#writeSoon();
  }

  sourceBytes(bytes: number): void {
    this.#sourceBytes = bytes;
    this.#writeSoon();
  }

  readonly processed = (bytes: number): void => {
    this.#bytes += bytes;
    this.#writeSoon();
  };

  /** As it is now. */
  get transfer(): Transfer {
    return { ...this.#started, processedBytes: this.#bytes, sourceBytes: this.#sourceBytes };
  }

  /** Its last word, in one transaction. */
  end(changes: Pick<Transfer, 'state' | 'warnings'>): Transfer {
    const { clock } = this.#context;
    this.#hasEnded = true;
    this.#cancelTimer?.();
    const ended = { ...this.transfer, ...changes, finishedAt: clock.now() };
    this.#write(ended);
    return ended;
  }

  #writeSoon(): void {
    if (this.#hasEnded) return;
    this.#cancelTimer ??= this.#context.clock.after(WRITE_EVERY_MS, () => {
      this.#cancelTimer = undefined;
      this.#write(this.transfer);
    });
  }

  #write(transfer: Transfer): void {
    const { store } = this.#context;
    const lines = this.#lines;
    this.#lines = [];
    store.transaction(() => {
      // Gone with its add-on.
      if (store.transfers.get(transfer.id) === undefined) return;
      store.transfers.update(transfer);
      if (lines.length > 0) store.transfers.log(transfer.id, lines);
    });
  }
}
