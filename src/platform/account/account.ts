import type { Account } from '../../domain/account';
import type { AccountId } from '../../domain/ids';
import type { PlatformContext } from '../context';
import { createToken, hashToken } from './token';

/** The one local user and the tokens by which clients act for it. */
export class AccountService {
  readonly #context: PlatformContext;

  constructor(context: PlatformContext) {
    this.#context = context;
  }

  /** The local user, made at first use. */
  ensure(email: string): Account {
    const { store, clock, newId } = this.#context;
    return store.transaction(() => {
      const existing = store.accounts.first();
      if (existing !== undefined) return existing;
      const account: Account = { id: newId() as AccountId, email, createdAt: clock.now() };
      store.accounts.insert(account);
      return account;
    });
  }

  current(): Account {
    const account = this.#context.store.accounts.first();
    if (account === undefined) throw new Error('no account: ensure() was not called at start');
    return account;
  }

  authenticate(token: string): Account | undefined {
    if (token === '') return undefined;
    const { store, clock } = this.#context;
    return store.accounts.findByToken(hashToken(token), clock.now());
  }

  /** Makes a token; it can't be read again later. */
  issueToken(account: Account, description: string): string {
    const { store, clock, newId } = this.#context;
    const { token, tokenSha256 } = createToken();
    const now = clock.now();
    store.accounts.authorize(
      { id: newId(), accountId: account.id, description, expiresAt: null, createdAt: now, updatedAt: now },
      tokenSha256,
    );
    return token;
  }
}
