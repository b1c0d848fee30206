import { asJson, psql, type PsqlOptions } from '../../addons/postgres-commands';
import type { AddOn } from '../../domain/addon';
import { PlatformError } from '../../domain/errors';
import { EngineError } from '../../engine/engine';
import type { AddOns } from '../addons/addons';

/** A statement that the server refused; `message` is the server's own, e.g. `permission denied`. */
export class StatementError extends Error {
  override readonly name = 'StatementError';
}

const STATEMENT_TIMEOUT_MS = 20_000;
/** Beyond that of its statements: for the connection. */
const CONNECT_MS = 15_000;

/** Asks the server of an add-on, as its superuser. Throws service_unavailable while it does not run or answer. */
export class DatabaseServer {
  readonly #addons: AddOns;

  constructor(addons: AddOns) {
    this.#addons = addons;
  }

  isServing(addon: AddOn): boolean {
    return this.#addons.isServing(addon);
  }

  /** Rows of one SELECT, by the names of its columns. */
  async rows<T>(addon: AddOn, select: string, options: Partial<PsqlOptions> = {}): Promise<T[]> {
    return JSON.parse(await this.run(addon, [asJson(select)], options)) as T[];
  }

  /** What the statements print, one after another. Throws a StatementError at the first that is refused. */
  async run(
    addon: AddOn,
    statements: readonly string[],
    options: Partial<PsqlOptions> = {},
  ): Promise<string> {
    const statementTimeoutMs = options.statementTimeoutMs ?? STATEMENT_TIMEOUT_MS;
    const command = psql(addon, statements, { ...options, statementTimeoutMs });
    const timeoutMs = statementTimeoutMs * statements.length + CONNECT_MS;
    const { exitCode, stdout, stderr } = await this.#addons
      .exec(addon, command, { timeoutMs })
      .catch((error: unknown) => {
        throw error instanceof EngineError ? unanswered(error) : error;
      });
    if (exitCode === 0) return stdout;
    // psql: 2 = "the connection to the server went bad".
    if (exitCode === 2 && options.keepGoing !== true) throw unanswered(new Error(stderr));
    if (options.keepGoing === true && stdout !== '') return stdout;
    throw new StatementError(
      /^.*?(?:ERROR|FATAL): +(.*)$/m.exec(stderr)?.[1] ?? `psql ended with ${exitCode}`,
    );
  }
}

function unanswered(cause: unknown): PlatformError {
  return new PlatformError('service_unavailable', 'The database does not answer just now.', 'add_on', {
    cause,
  });
}
