import type { Account } from '../../domain/account';
import { forbidden, invalidParams, notFound, notSupported } from '../../domain/errors';
import type { Authorization } from '../../store/accounts';
import { createToken, hashToken } from '../account/token';
import type { PlatformContext } from '../context';

export interface NewAuthorization {
  description?: string | null;
  /** Seconds from now; null or absent: it does not expire. */
  expiresIn?: number | null;
  scope?: readonly string[] | null;
}

/** An authorization with its token as far as it is known: right after it was made, and to who uses it. */
export interface AuthorizationView extends Authorization {
  token: string | null;
}

/** The only scope: there is one user, who may do everything. */
export const GLOBAL_SCOPE = 'global';
const MAX_DESCRIPTION = 200;
const MAX_EXPIRES_IN = 100 * 365 * 24 * 60 * 60;

/** The tokens that the local user has given out (Dev Center "OAuth", "Direct authorizations"). */
export class Authorizations {
  readonly #context: PlatformContext;

  constructor(context: PlatformContext) {
    this.#context = context;
  }

  /** `tokenInUse` is the one that the request came with. */
  list(account: Account, tokenInUse: string): AuthorizationView[] {
    const inUse = this.#idOf(tokenInUse);
    return this.#context.store.accounts
      .authorizations(account.id)
      .map((entry) => ({ ...entry, token: entry.id === inUse ? tokenInUse : null }));
  }

  /** `~` is the one in use. */
  find(account: Account, id: string, tokenInUse: string): AuthorizationView {
    const wanted = id === '~' ? this.#idOf(tokenInUse) : id;
    const found = this.list(account, tokenInUse).find((entry) => entry.id === wanted);
    if (found === undefined) throw notFound('authorization');
    return found;
  }

  create(account: Account, input: NewAuthorization): AuthorizationView {
    const { store, clock, newId } = this.#context;
    const scope = input.scope ?? [GLOBAL_SCOPE];
    if (scope.length !== 1 || scope[0] !== GLOBAL_SCOPE) {
      throw notSupported('dynodock does not support scopes: every token is global.');
    }
    const now = clock.now();
    const authorization: Authorization = {
      id: newId(),
      accountId: account.id,
      description: parseDescription(input.description ?? 'Long-lived user authorization'),
      expiresAt: input.expiresIn == null ? null : new Date(now.getTime() + parseSeconds(input.expiresIn)),
      createdAt: now,
      updatedAt: now,
    };
    const { token, tokenSha256 } = createToken();
    store.transaction(() => {
      store.accounts.authorize(authorization, tokenSha256);
      this.#record(account, 'authorization.create', authorization);
    });
    return { ...authorization, token };
  }

  describe(account: Account, id: string, description: string, tokenInUse: string): AuthorizationView {
    const { store, clock } = this.#context;
    const found = this.find(account, id, tokenInUse);
    const changed = { ...found, description: parseDescription(description), updatedAt: clock.now() };
    store.transaction(() => {
      store.accounts.updateAuthorization(changed);
      this.#record(account, 'authorization.update', changed);
    });
    return changed;
  }

  /** A new token in place of the present one. */
  regenerate(account: Account, id: string, tokenInUse: string): AuthorizationView {
    const { store, clock } = this.#context;
    const found = this.find(account, id, tokenInUse);
    refuseTokenInUse(found);
    const { token, tokenSha256 } = createToken();
    const changed = { ...found, token, updatedAt: clock.now() };
    store.transaction(() => {
      store.accounts.updateAuthorization(changed, tokenSha256);
      this.#record(account, 'authorization.update', changed);
    });
    return changed;
  }

  revoke(account: Account, id: string, tokenInUse: string): AuthorizationView {
    const { store } = this.#context;
    const found = this.find(account, id, tokenInUse);
    refuseTokenInUse(found);
    store.transaction(() => {
      store.accounts.revoke(found.id);
      this.#record(account, 'authorization.destroy', found);
    });
    return found;
  }

  #idOf(token: string): string | undefined {
    return this.#context.store.accounts.authorizationByToken(hashToken(token))?.id;
  }

  #record(account: Account, kind: string, { id, description }: Authorization): void {
    const { store, clock } = this.#context;
    const payload = { id, description };
    store.events.append({ appId: null, kind, payload, actor: account.email, at: clock.now() });
  }
}

/** It is what `dynodock env` hands out: without it, neither the CLI nor git nor `dynodock status` gets in any more. */
function refuseTokenInUse(authorization: AuthorizationView): void {
  if (authorization.token === null) return;
  throw forbidden(
    'This is the token that the request was made with. Use another one to revoke or rotate this one.',
  );
}

function parseDescription(text: string): string {
  const description = text.trim();
  if (description === '' || description.length > MAX_DESCRIPTION) {
    throw invalidParams(`The description must have 1 to ${MAX_DESCRIPTION} characters.`);
  }
  return description;
}

/** In milliseconds. */
function parseSeconds(seconds: number): number {
  if (!Number.isInteger(seconds) || seconds < 1 || seconds > MAX_EXPIRES_IN) {
    throw invalidParams('expires_in must be a number of seconds above 0.');
  }
  return seconds * 1000;
}
