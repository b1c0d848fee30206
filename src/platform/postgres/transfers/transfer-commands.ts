import type { Readable, Writable } from 'node:stream';
import { endBackends, endClients, type TransferCommand } from '../../../addons/postgres-transfers';
import type { AddOn } from '../../../domain/addon';
import type { Logger } from '../../../lib/logger';
import { LineReader } from '../../../lib/line-reader';
import type { AddOns } from '../../addons/addons';
import type { DatabaseServer } from '../database-server';
import { TransferError } from './transfer-error';
import type { TransferRun } from './transfer-run';

export interface TransferCommandsOptions {
  addons: AddOns;
  server: DatabaseServer;
  logger: Logger;
}

/** pg_dump or pg_restore at work inside a database's container. */
export interface RunningCommand {
  stdin: Writable;
  /** Must be read. */
  stdout: Readable;
  /** Its exit status, once all that it had to say has been read. */
  ended: Promise<number>;
}

const END_TIMEOUT_MS = 20_000;
const MAX_LINE_BYTES = 1024 * 1024;

/**
 * Runs client programs inside the containers of databases. An engine can't end what it runs, and a program whose streams
 * are cut may wait for ever: it is ended by its name, and so is what the server does for it.
 */
export class TransferCommands {
  readonly #options: TransferCommandsOptions;

  constructor(options: TransferCommandsOptions) {
    this.#options = options;
  }

  async start(
    run: TransferRun,
    addon: AddOn,
    command: TransferCommand,
    onLine: (line: string) => void,
  ): Promise<RunningCommand> {
    run.signal.throwIfAborted();
    const attached = await this.#options.addons.execAttached(addon, command);
    const { stdin, stdout, stderr } = attached;
    // It may end before it has read everything: whoever writes is told by the stream.
    stdin.on('error', () => undefined);
    const lines = new LineReader(MAX_LINE_BYTES, onLine);
    const read = (async () => {
      for await (const chunk of stderr as AsyncIterable<Buffer>) lines.push(chunk);
    })();
    const onAbort = (): void => {
      void this.end(addon, run.id).finally(() => attached.close());
    };
    run.signal.addEventListener('abort', onAbort, { once: true });
    const ended = read
      .then(() => attached.exitCode())
      .finally(() => run.signal.removeEventListener('abort', onAbort));
    // It is awaited later, or never by those who fail before.
    ended.catch(() => undefined);
    if (command.head !== '') stdin.write(command.head);
    return { stdin, stdout, ended };
  }

  /** Whatever still runs of a transfer in this container ends. Without a container there is nothing left. */
  async end(addon: AddOn, transferId: string): Promise<void> {
    const { addons, server, logger } = this.#options;
    if (!server.isServing(addon)) return;
    try {
      await addons.exec(addon, endClients(transferId), { timeoutMs: END_TIMEOUT_MS });
      await server.run(addon, [endBackends(transferId)], { database: 'postgres' });
    } catch (error) {
      // Gone together with its container, mostly.
      logger.warn('what a transfer ran could not be ended', {
        addon: addon.name,
        transfer: transferId,
        error,
      });
    }
  }
}

/** Remembers why a dump failed. */
export class DumpJudge {
  #error: string | undefined;

  read(line: string): void {
    this.#error ??= /^pg_dump: error: (.*)$/.exec(line)?.[1];
  }

  /** Throws a TransferError unless it came to its end. Its exit status alone says so, not the end of its output. */
  assertGood(exitCode: number): void {
    if (exitCode !== 0) throw new TransferError(this.#error ?? `pg_dump ended with status ${exitCode}`);
  }
}
