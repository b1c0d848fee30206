import type { Account } from '../domain/account';
import type { AccountId } from '../domain/ids';
import { date, text } from './columns';
import type { Database, Row, Statement } from './database';

/** A token by which an account uses the API. The token itself is not kept, only its SHA-256. */
export interface Authorization {
  id: string;
  accountId: AccountId;
  description: string;
  createdAt: Date;
}

export class AccountStore {
  readonly #insert: Statement;
  readonly #first: Statement;
  readonly #byId: Statement;
  readonly #byToken: Statement;
  readonly #insertAuthorization: Statement;
  readonly #authorizations: Statement;
  readonly #deleteAuthorization: Statement;

  constructor(database: Database) {
    this.#insert = database.prepare(
      'INSERT INTO accounts (id, email, created_at) VALUES (@id, @email, @createdAt)',
    );
    this.#first = database.prepare('SELECT * FROM accounts ORDER BY created_at, id LIMIT 1');
    this.#byId = database.prepare('SELECT * FROM accounts WHERE id = @id');
    this.#byToken = database.prepare(
      'SELECT accounts.* FROM accounts JOIN authorizations ON authorizations.account_id = accounts.id WHERE token_sha256 = @tokenSha256',
    );
    this.#insertAuthorization = database.prepare(
      'INSERT INTO authorizations (id, account_id, token_sha256, description, created_at) VALUES (@id, @accountId, @tokenSha256, @description, @createdAt)',
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

  findByToken(tokenSha256: string): Account | undefined {
    return toAccount(this.#byToken.get({ tokenSha256 }));
  }

  authorize(authorization: Authorization, tokenSha256: string): void {
    this.#insertAuthorization.run({
      ...authorization,
      tokenSha256,
      createdAt: authorization.createdAt.getTime(),
    });
  }

  authorizations(accountId: AccountId): Authorization[] {
    return this.#authorizations.all({ accountId }).map((row) => ({
      id: text(row, 'id'),
      accountId: text(row, 'account_id') as AccountId,
      description: text(row, 'description'),
      createdAt: date(row, 'created_at'),
    }));
  }

  revoke(authorizationId: string): boolean {
    return this.#deleteAuthorization.run({ id: authorizationId }).changes > 0;
  }
}

function toAccount(row: Row | undefined): Account | undefined {
  if (row === undefined) return undefined;
  return { id: text(row, 'id') as AccountId, email: text(row, 'email'), createdAt: date(row, 'created_at') };
}
