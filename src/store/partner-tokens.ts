import type { AddOnId } from '../domain/ids';
import type { PartnerToken } from '../domain/partner';
import { date, text } from './columns';
import type { Database, Row, Statement } from './database';

/** Grants and tokens of partners, by the SHA-256 of what the partner holds. */
export class PartnerTokenStore {
  readonly #insertGrant: Statement;
  readonly #deleteExpired: Statement;
  readonly #grant: Statement;
  readonly #deleteGrant: Statement;
  readonly #insert: Statement;
  readonly #renew: Statement;
  readonly #byAccess: Statement;
  readonly #byRefresh: Statement;
  readonly #deleteGrants: Statement;
  readonly #deleteTokens: Statement;

  constructor(database: Database) {
    this.#insertGrant = database.prepare(
      'INSERT INTO partner_grants (code_sha256, addon_id, expires_at) VALUES (@codeSha256, @addonId, @expiresAt)',
    );
    this.#deleteExpired = database.prepare('DELETE FROM partner_grants WHERE expires_at <= @now');
    this.#grant = database.prepare(
      'SELECT * FROM partner_grants WHERE code_sha256 = @codeSha256 AND expires_at > @now',
    );
    this.#deleteGrant = database.prepare('DELETE FROM partner_grants WHERE code_sha256 = @codeSha256');
    this.#insert = database.prepare(
      `INSERT INTO partner_tokens (id, addon_id, access_sha256, expires_at, refresh_sha256)
        VALUES (@id, @addonId, @accessSha256, @expiresAt, @refreshSha256)`,
    );
    this.#renew = database.prepare(
      'UPDATE partner_tokens SET access_sha256 = @accessSha256, expires_at = @expiresAt WHERE id = @id',
    );
    this.#byAccess = database.prepare(
      'SELECT * FROM partner_tokens WHERE access_sha256 = @accessSha256 AND expires_at > @now',
    );
    this.#byRefresh = database.prepare('SELECT * FROM partner_tokens WHERE refresh_sha256 = @refreshSha256');
    this.#deleteGrants = database.prepare('DELETE FROM partner_grants WHERE addon_id = @addonId');
    this.#deleteTokens = database.prepare('DELETE FROM partner_tokens WHERE addon_id = @addonId');
  }

  /** Those that have expired go. */
  insertGrant(codeSha256: string, addonId: AddOnId, expiresAt: Date, now: Date): void {
    this.#deleteExpired.run({ now: now.getTime() });
    this.#insertGrant.run({ codeSha256, addonId, expiresAt: expiresAt.getTime() });
  }

  /** Unless it has expired. */
  grant(codeSha256: string, now: Date): AddOnId | undefined {
    const row = this.#grant.get({ codeSha256, now: now.getTime() });
    return row === undefined ? undefined : (text(row, 'addon_id') as AddOnId);
  }

  deleteGrant(codeSha256: string): void {
    this.#deleteGrant.run({ codeSha256 });
  }

  insert(token: PartnerToken, accessSha256: string, refreshSha256: string): void {
    this.#insert.run({ ...token, expiresAt: token.expiresAt.getTime(), accessSha256, refreshSha256 });
  }

  /** Another access token in place of the present one. */
  renew({ id, expiresAt }: PartnerToken, accessSha256: string): void {
    this.#renew.run({ id, expiresAt: expiresAt.getTime(), accessSha256 });
  }

  /** Unless it has expired. */
  byAccess(accessSha256: string, now: Date): PartnerToken | undefined {
    return map(this.#byAccess.get({ accessSha256, now: now.getTime() }));
  }

  byRefresh(refreshSha256: string): PartnerToken | undefined {
    return map(this.#byRefresh.get({ refreshSha256 }));
  }

  /** All grants and tokens of an add-on. */
  revoke(addonId: AddOnId): void {
    this.#deleteGrants.run({ addonId });
    this.#deleteTokens.run({ addonId });
  }
}

function map(row: Row | undefined): PartnerToken | undefined {
  return row === undefined
    ? undefined
    : { id: text(row, 'id'), addonId: text(row, 'addon_id') as AddOnId, expiresAt: date(row, 'expires_at') };
}
