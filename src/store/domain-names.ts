import type { DomainName } from '../domain/domain-name';
import type { AppId, DomainId, SniEndpointId } from '../domain/ids';
import { date, text, textOrNull } from './columns';
import type { Database, Row, Statement } from './database';

export class DomainNameStore {
  readonly #insert: Statement;
  readonly #rename: Statement;
  readonly #associate: Statement;
  readonly #delete: Statement;
  readonly #ofApp: Statement;
  readonly #byHostname: Statement;

  constructor(database: Database) {
    this.#insert = database.prepare(`INSERT INTO domain_names (id, app_id, hostname, kind, sni_endpoint_id,
        created_at, updated_at)
      VALUES (@id, @appId, @hostname, @kind, @sniEndpointId, @createdAt, @updatedAt)`);
    this.#rename = database.prepare(
      'UPDATE domain_names SET hostname = @hostname, updated_at = @updatedAt WHERE id = @id',
    );
    this.#associate = database.prepare(
      'UPDATE domain_names SET sni_endpoint_id = @sniEndpointId, updated_at = @updatedAt WHERE id = @id',
    );
    this.#delete = database.prepare('DELETE FROM domain_names WHERE id = @id');
    this.#ofApp = database.prepare(
      'SELECT * FROM domain_names WHERE app_id = @appId ORDER BY kind DESC, hostname',
    );
    this.#byHostname = database.prepare('SELECT * FROM domain_names WHERE hostname = @hostname');
  }

  /** Throws a unique violation if an app has that host name. */
  insert(domain: DomainName): void {
    this.#insert.run({
      ...domain,
      createdAt: domain.createdAt.getTime(),
      updatedAt: domain.updatedAt.getTime(),
    });
  }

  rename(id: DomainId, hostname: string, at: Date): void {
    this.#rename.run({ id, hostname, updatedAt: at.getTime() });
  }

  associate(id: DomainId, sniEndpointId: SniEndpointId | null, at: Date): void {
    this.#associate.run({ id, sniEndpointId, updatedAt: at.getTime() });
  }

  delete(id: DomainId): void {
    this.#delete.run({ id });
  }

  /** The app's own one first. */
  of(appId: AppId): DomainName[] {
    return this.#ofApp.all({ appId }).map(toDomainName);
  }

  findByHostname(hostname: string): DomainName | undefined {
    const row = this.#byHostname.get({ hostname });
    return row === undefined ? undefined : toDomainName(row);
  }
}

function toDomainName(row: Row): DomainName {
  return {
    id: text(row, 'id') as DomainId,
    appId: text(row, 'app_id') as AppId,
    hostname: text(row, 'hostname'),
    kind: text(row, 'kind') as DomainName['kind'],
    sniEndpointId: textOrNull(row, 'sni_endpoint_id') as SniEndpointId | null,
    createdAt: date(row, 'created_at'),
    updatedAt: date(row, 'updated_at'),
  };
}
