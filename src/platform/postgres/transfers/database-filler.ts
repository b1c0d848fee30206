import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { ownerOf, POSTGRES_EXTENSIONS } from '../../../addons/postgres';
import { quoteIdentifier } from '../../../addons/postgres-commands';
import {
  dropWorkingDatabases,
  FRESH_DATABASE_EXTENSIONS,
  freshDatabaseStatements,
  isOfTransfer,
  restoreInto,
  RestoreJudge,
  swapStatements,
  workingDatabases,
  type TransferCommand,
} from '../../../addons/postgres-transfers';
import type { AddOn } from '../../../domain/addon';
import { invalidParams } from '../../../domain/errors';
import type { AddOnId } from '../../../domain/ids';
import { sleep, type Clock } from '../../../lib/clock';
import type { Logger } from '../../../lib/logger';
import type { Turns } from '../../../lib/turns';
import type { AddOns } from '../../addons/addons';
import { StatementError, type DatabaseServer } from '../database-server';
import { assertDump } from './backup-files';
import type { TransferCommands } from './transfer-commands';
import { TransferError } from './transfer-error';
import type { TransferRun } from './transfer-run';

export interface DatabaseFillerOptions {
  addons: AddOns;
  server: DatabaseServer;
  commands: TransferCommands;
  /** Of what changes a database or its users. */
  turns: Turns<AddOnId>;
  clock: Clock;
  logger: Logger;
}

/** Where a dump comes from. */
export interface DumpSource {
  content: Readable;
  /** Called at the end of `content`: throws unless that was all of it. */
  assertWhole: () => Promise<void>;
}

/** An extension, and the schema that it goes to; default: `public`. */
export interface WantedExtension {
  name: string;
  schema: string | null;
}

const STATEMENT_MS = 120_000;
const SWAP_ATTEMPTS = 10;
const SWAP_AGAIN_MS = 200;
/** From the end of pg_restore to the end of what it was fed. */
const FED_MS = 10_000;

/**
 * Brings a dump into a database in the place of what is there. The dump goes into a fresh database beside it, which takes
 * its name once all is in: until then, and if anything fails, the database is as it was, and serves.
 */
export class DatabaseFiller {
  readonly #options: DatabaseFillerOptions;

  constructor(options: DatabaseFillerOptions) {
    this.#options = options;
  }

  /** Answers the number of warnings. Throws a TransferError with the reason, or the signal's. */
  async fill(
    run: TransferRun,
    addon: AddOn,
    source: DumpSource,
    extensions: readonly WantedExtension[] = [],
  ): Promise<number> {
    const { server } = this.#options;
    const { fresh } = workingDatabases(addon);
    const inServer = { database: 'postgres', statementTimeoutMs: STATEMENT_MS };
    try {
      await server.run(addon, freshDatabaseStatements(addon, ownerOf(addon), run.id), inServer);
      const statements = [...FRESH_DATABASE_EXTENSIONS, ...extensionStatements(addon, extensions)];
      await server.run(addon, statements, { database: fresh, statementTimeoutMs: STATEMENT_MS });
      const warnings = await this.feed(run, addon, restoreInto(addon, fresh, run.id), source);
      run.signal.throwIfAborted();
      await this.#swap(addon);
      return warnings;
    } catch (error) {
      await this.#options.commands.end(addon, run.id);
      await this.clear(addon);
      throw error;
    } finally {
      source.content.destroy();
    }
  }

  /** The same for any pg_restore, without what is around it. */
  async feed(run: TransferRun, addon: AddOn, command: TransferCommand, source: DumpSource): Promise<number> {
    const { commands, clock } = this.#options;
    const judge = new RestoreJudge();
    const restore = await commands.start(run, addon, command, (line) => {
      judge.read(line);
      run.log(line);
    });
    restore.stdout.resume();
    const enough = new AbortController();
    const feeding: { isDone: boolean; error?: unknown } = { isDone: false };
    const fed = pipeline(source.content, assertDump, counted(run), restore.stdin, {
      signal: AbortSignal.any([run.signal, enough.signal]),
    })
      .then(() => (feeding.isDone = true))
      .catch(async (error: unknown) => {
        feeding.error = error;
        // It would wait for the rest.
        if (!enough.signal.aborted) await commands.end(addon, run.id);
      });
    try {
      const outcome = judge.outcome(await restore.ended);
      run.signal.throwIfAborted();
      await Promise.race([fed, sleep(clock, typeof outcome === 'string' ? 0 : FED_MS, enough.signal)]);
      if (feeding.error instanceof TransferError) throw feeding.error;
      if (typeof outcome === 'string') throw new TransferError(outcome);
      if (!feeding.isDone)
        throw new TransferError('pg_restore ended before the end of the dump.', { cause: feeding.error });
      await source.assertWhole();
      return outcome;
    } finally {
      enough.abort();
      await fed;
    }
  }

  /** Drops what a restore leaves that did not come to its end, and what one has replaced. */
  async clear(addon: AddOn): Promise<void> {
    const { server, logger } = this.#options;
    try {
      await server.run(addon, dropWorkingDatabases(addon), {
        database: 'postgres',
        statementTimeoutMs: STATEMENT_MS,
      });
    } catch (error) {
      // The next restore does it first.
      logger.warn('a database of a restore could not be dropped', { addon: addon.name, error });
    }
  }

  /** Did a restore that nobody saw the end of put its database in place? */
  async isInPlace(addon: AddOn, transferId: string): Promise<boolean> {
    const printed = await this.#options.server.run(addon, [isOfTransfer(addon, transferId)], {
      database: 'postgres',
    });
    return printed.trim() === 't';
  }

  async #swap(before: AddOn): Promise<void> {
    const { addons, server, turns, clock, logger } = this.#options;
    await turns.take(before.id, async () => {
      // Its password may have changed meanwhile, or it was destroyed.
      const addon = addons.find(before.id);
      for (let attempt = 1; ; attempt += 1) {
        try {
          await server.run(addon, swapStatements(addon), { database: 'postgres' });
          break;
        } catch (error) {
          if (!(error instanceof StatementError) || attempt >= SWAP_ATTEMPTS) throw error;
          await sleep(clock, SWAP_AGAIN_MS);
        }
      }
      try {
        await addons.setUp(addon);
      } catch (error) {
        // What is left of it is done at the server's next start.
        logger.warn('a restored database could not be set up', { addon: addon.name, error });
      }
    });
    await this.clear(before);
  }
}

/** `hstore`, or `myschema.hstore`. Throws invalid_params for others than those that Heroku's owners may create. */
export function parseExtension(text: string): WantedExtension {
  const [, schema = null, name = ''] = /^(?:([a-z_][a-z0-9_]{0,62})\.)?([a-z0-9_-]+)$/.exec(text) ?? [];
  if (!POSTGRES_EXTENSIONS.includes(name) || schema?.startsWith('pg_') === true) {
    throw invalidParams(
      `The extension ${JSON.stringify(text)} is not available. Those that are: ${POSTGRES_EXTENSIONS.join(', ')}.`,
    );
  }
  return { name, schema };
}

/** As their owner, who can drop them then. */
function extensionStatements(addon: AddOn, extensions: readonly WantedExtension[]): string[] {
  if (extensions.length === 0) return [];
  return [
    `SET SESSION AUTHORIZATION ${quoteIdentifier(ownerOf(addon))}`,
    ...extensions.flatMap(({ name, schema }) => [
      ...(schema === null ? [] : [`CREATE SCHEMA IF NOT EXISTS ${quoteIdentifier(schema)}`]),
      `CREATE EXTENSION IF NOT EXISTS ${quoteIdentifier(name)}${
        schema === null ? '' : ` SCHEMA ${quoteIdentifier(schema)}`
      } CASCADE`,
    ]),
  ];
}

function counted(run: TransferRun): (chunks: AsyncIterable<Buffer>) => AsyncGenerator<Buffer> {
  return async function* (chunks) {
    for await (const chunk of chunks) {
      run.processed(chunk.length);
      yield chunk;
    }
  };
}
