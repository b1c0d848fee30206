import { timingSafeEqual } from 'node:crypto';
import type { AddOn } from '../../../domain/addon';
import { PlatformError } from '../../../domain/errors';
import type { AddOnId } from '../../../domain/ids';
import { createToken, hashToken } from '../../account/token';
import type { PlatformContext } from '../../context';

export interface Grant {
  code: string;
  expiresAt: Date;
}

/** What an exchange answers; the tokens can't be read again. */
export interface IssuedTokens {
  id: string;
  accessToken: string;
  refreshToken: string;
  expiresInSeconds: number;
  addon: AddOn;
}

/** Dev Center "Add-on Partner API Reference": `oauth_grant.expires_at`. */
const GRANT_MS = 5 * 60 * 1000;
const ACCESS_SECONDS = 8 * 60 * 60;

/** Grants, and the tokens that partners get for them: each is good for one add-on, as long as that is not gone. */
export class PartnerAccess {
  readonly #context: PlatformContext;

  constructor(context: PlatformContext) {
    this.#context = context;
  }

  /** A fresh one with each request; those of before stay good, for a partner that heard a request twice. */
  grant(addonId: AddOnId): Grant {
    const { store, clock, newId } = this.#context;
    const now = clock.now();
    const grant = { code: newId(), expiresAt: new Date(now.getTime() + GRANT_MS) };
    store.partnerTokens.insertGrant(hashToken(grant.code), addonId, grant.expiresAt, now);
    return grant;
  }

  /** Throws unauthorized; a code is good once. */
  exchange(code: string, clientSecret: string): IssuedTokens {
    const { store, clock, newId } = this.#context;
    return store.transaction(() => {
      const addonId = store.partnerTokens.grant(hashToken(code), clock.now());
      const addon = this.#authorized(addonId, clientSecret);
      if (addon === undefined)
        throw unauthorized('The grant is unknown, used or expired, or the secret is wrong.');
      store.partnerTokens.deleteGrant(hashToken(code));
      const access = createToken();
      const refresh = createToken();
      const id = newId();
      store.partnerTokens.insert(
        { id, addonId: addon.id, expiresAt: this.#expiry() },
        access.tokenSha256,
        refresh.tokenSha256,
      );
      return {
        id,
        accessToken: access.token,
        refreshToken: refresh.token,
        expiresInSeconds: ACCESS_SECONDS,
        addon,
      };
    });
  }

  /** Another access token; the one of before is good no more. Throws unauthorized. */
  refresh(refreshToken: string, clientSecret: string): IssuedTokens {
    const { store } = this.#context;
    return store.transaction(() => {
      const found = store.partnerTokens.byRefresh(hashToken(refreshToken));
      const addon = this.#authorized(found?.addonId, clientSecret);
      if (found === undefined || addon === undefined) {
        throw unauthorized('The refresh token is unknown, or the secret is wrong.');
      }
      const access = createToken();
      store.partnerTokens.renew({ ...found, expiresAt: this.#expiry() }, access.tokenSha256);
      return {
        id: found.id,
        accessToken: access.token,
        refreshToken,
        expiresInSeconds: ACCESS_SECONDS,
        addon,
      };
    });
  }

  /** The add-on that an access token is for. */
  authenticate(token: string): AddOn | undefined {
    const { store, clock } = this.#context;
    const found = store.partnerTokens.byAccess(hashToken(token), clock.now());
    return found === undefined ? undefined : this.#held(found.addonId);
  }

  #authorized(addonId: AddOnId | undefined, clientSecret: string): AddOn | undefined {
    if (addonId === undefined) return undefined;
    const { store } = this.#context;
    const addon = this.#held(addonId);
    const service = addon === undefined ? undefined : store.partners.service(addon.service);
    return service !== undefined && isSameSecret(clientSecret, service.clientSecret) ? addon : undefined;
  }

  /** Also one that could not be provisioned, as long as its partner may have something of it. */
  #held(id: AddOnId): AddOn | undefined {
    const { addons, partners } = this.#context.store;
    const phase = partners.resource(id)?.phase;
    return phase === undefined || phase === 'gone' ? undefined : addons.get(id);
  }

  #expiry(): Date {
    return new Date(this.#context.clock.now().getTime() + ACCESS_SECONDS * 1000);
  }
}

/** Of secrets, without that the time it takes tells anything. */
export function isSameSecret(a: string, b: string): boolean {
  return timingSafeEqual(Buffer.from(hashToken(a)), Buffer.from(hashToken(b)));
}

function unauthorized(message: string): PlatformError {
  return new PlatformError('unauthorized', message);
}
