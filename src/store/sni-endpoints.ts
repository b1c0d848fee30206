import type { AppId, SniEndpointId } from '../domain/ids';
import type { CertificateFacts, KeyPair, SniEndpoint } from '../domain/sni-endpoint';
import { date, json, text } from './columns';
import type { Database, Row, Statement } from './database';

export class SniEndpointStore {
  readonly #insert: Statement;
  readonly #update: Statement;
  readonly #delete: Statement;
  readonly #ofApp: Statement;
  readonly #byName: Statement;
  readonly #keyPair: Statement;

  constructor(database: Database) {
    this.#insert = database.prepare(`INSERT INTO sni_endpoints (id, app_id, name, certificate_id,
        certificate_chain, private_key, facts, created_at, updated_at)
      VALUES (@id, @appId, @name, @certificateId, @certificateChain, @privateKey, @facts, @createdAt, @updatedAt)`);
    this.#update = database.prepare(`UPDATE sni_endpoints SET certificate_id = @certificateId,
        certificate_chain = @certificateChain, private_key = @privateKey, facts = @facts, updated_at = @updatedAt
      WHERE id = @id`);
    this.#delete = database.prepare('DELETE FROM sni_endpoints WHERE id = @id');
    // Not the key, which hardly anybody asks for.
    const columns = 'id, app_id, name, certificate_id, certificate_chain, facts, created_at, updated_at';
    this.#ofApp = database.prepare(
      `SELECT ${columns} FROM sni_endpoints WHERE app_id = @appId ORDER BY created_at, name`,
    );
    this.#byName = database.prepare(`SELECT ${columns} FROM sni_endpoints WHERE name = @name`);
    this.#keyPair = database.prepare(
      'SELECT certificate_chain, private_key FROM sni_endpoints WHERE id = @id',
    );
  }

  /** Throws a unique violation if the name is taken. */
  insert(endpoint: SniEndpoint, privateKey: string): void {
    this.#insert.run({
      id: endpoint.id,
      appId: endpoint.appId,
      name: endpoint.name,
      createdAt: endpoint.createdAt.getTime(),
      ...changingColumns(endpoint, privateKey),
    });
  }

  /** Another certificate for the same endpoint. */
  update(endpoint: SniEndpoint, privateKey: string): void {
    this.#update.run({ id: endpoint.id, ...changingColumns(endpoint, privateKey) });
  }

  /** Its domains go back to certificates of the local CA. */
  delete(id: SniEndpointId): void {
    this.#delete.run({ id });
  }

  of(appId: AppId): SniEndpoint[] {
    return this.#ofApp.all({ appId }).map(toSniEndpoint);
  }

  findByName(name: string): SniEndpoint | undefined {
    const row = this.#byName.get({ name });
    return row === undefined ? undefined : toSniEndpoint(row);
  }

  keyPair(id: SniEndpointId): KeyPair | undefined {
    const row = this.#keyPair.get({ id });
    return row === undefined
      ? undefined
      : { certificateChain: text(row, 'certificate_chain'), privateKey: text(row, 'private_key') };
  }
}

function changingColumns(endpoint: SniEndpoint, privateKey: string): Row {
  return {
    certificateId: endpoint.certificateId,
    certificateChain: endpoint.certificateChain,
    privateKey,
    facts: JSON.stringify(endpoint.certificate),
    updatedAt: endpoint.updatedAt.getTime(),
  };
}

function toSniEndpoint(row: Row): SniEndpoint {
  const facts = json(row, 'facts') as Omit<CertificateFacts, 'startsAt' | 'expiresAt'> & {
    startsAt: string;
    expiresAt: string;
  };
  return {
    id: text(row, 'id') as SniEndpointId,
    appId: text(row, 'app_id') as AppId,
    name: text(row, 'name'),
    certificateId: text(row, 'certificate_id'),
    certificateChain: text(row, 'certificate_chain'),
    certificate: { ...facts, startsAt: new Date(facts.startsAt), expiresAt: new Date(facts.expiresAt) },
    createdAt: date(row, 'created_at'),
    updatedAt: date(row, 'updated_at'),
  };
}
