import type { Account } from '../domain/account';
import type { AccountId } from '../domain/ids';
import { date, dateOrNull, text } from './columns';
import type { Database, Row, Statement } from './database';

/** A token by which an account uses the API. The token itself is not kept, only its SHA-256. */
export interface Authorization {
  id: string;
  accountId: AccountId;
  description: string;
  /** null = it does not expire. */
  expiresAt: Date | null;
  createdAt: Date;
  updatedAt: Date;
}

export class AccountStore {
  readonly #insert: Statement;
  readonly #first: Statement;
  readonly #byId: Statement;
  readonly #byToken: Statement;
  readonly #insertAuthorization: Statement;
  readonly #updateAuthorization: Statement;
  readonly #authorizations: Statement;
  readonly #authorizationByToken: Statement;
  readonly #deleteAuthorization: Statement;

  constructor(database: Database) {
    this.#insert = database.prepare(
      'INSERT INTO accounts (id, email, created_at) VALUES (@id, @email, @createdAt)',
    );
    this.#first = database.prepare('SELECT * FROM accounts ORDER BY created_at, id LIMIT 1');
    this.#byId = database.prepare('SELECT * FROM accounts WHERE id = @id');
    this.#byToken = database.prepare(
      'SELECT accounts.* FROM accounts JOIN authorizations ON authorizations.account_id = accounts.id WHERE token_sha256 = @tokenSha256 AND (expires_at IS NULL OR expires_at > @now)',
    );
    this.#insertAuthorization = database.prepare(
      'INSERT INTO authorizations (id, account_id, token_sha256, description, expires_at, created_at, updated_at) VALUES (@id, @accountId, @tokenSha256, @description, @expiresAt, @createdAt, @updatedAt)',
    );
    this.#updateAuthorization = database.prepare(
      'UPDATE authorizations SET description = @description, token_sha256 = coalesce(@tokenSha256, token_sha256), updated_at = @updatedAt WHERE id = @id',
    );
    this.#authorizationByToken = database.prepare(
      'SELECT * FROM authorizations WHERE token_sha256 = @tokenSha256',
    );
    this.#authorizations = database.prepare(
      'SELECT * FROM authorizations WHERE account_id = @accountId ORDER BY created_at, id',
    );
    this.#deleteAuthorization = database.prepare('DELETE FROM authorizations WHERE id = @id');
  }

  insert(account: Account): void {
    this.#insert.run({ ...account, createdAt: account.createdAt.getTime() });
  }

  /** The local user. */
  first(): Account | undefined {
    return toAccount(this.#first.get());
  }

  get(id: AccountId): Account | undefined {
    return toAccount(this.#byId.get({ id }));
  }

  /** Whose token it is, unless it has expired. */
  findByToken(tokenSha256: string, now: Date): Account | undefined {
    return toAccount(this.#byToken.get({ tokenSha256, now: now.getTime() }));
  }

  authorize(authorization: Authorization, tokenSha256: string): void {
    this.#insertAuthorization.run({
      ...authorization,
      tokenSha256,
      expiresAt: authorization.expiresAt?.getTime() ?? null,
      createdAt: authorization.createdAt.getTime(),
      updatedAt: authorization.updatedAt.getTime(),
    });
  }

  /** Its description and, if one is given, its token. */
  updateAuthorization(authorization: Authorization, tokenSha256?: string): void {
    this.#updateAuthorization.run({
      id: authorization.id,
      description: authorization.description,
      tokenSha256: tokenSha256 ?? null,
      updatedAt: authorization.updatedAt.getTime(),
    });
  }

  /** Oldest first. */
  authorizations(accountId: AccountId): Authorization[] {
    return this.#authorizations.all({ accountId }).map(toAuthorization);
  }

  authorizationByToken(tokenSha256: string): Authorization | undefined {
    const row = this.#authorizationByToken.get({ tokenSha256 });
    return row === undefined ? undefined : toAuthorization(row);
  }

  revoke(authorizationId: string): boolean {
    return this.#deleteAuthorization.run({ id: authorizationId }).changes > 0;
  }
}

function toAccount(row: Row | undefined): Account | undefined {
  if (row === undefined) return undefined;
  return { id: text(row, 'id') as AccountId, email: text(row, 'email'), createdAt: date(row, 'created_at') };
}

function toAuthorization(row: Row): Authorization {
  return {
    id: text(row, 'id'),
    accountId: text(row, 'account_id') as AccountId,
    description: text(row, 'description'),
    expiresAt: dateOrNull(row, 'expires_at'),
    createdAt: date(row, 'created_at'),
    updatedAt: date(row, 'updated_at'),
  };
}
