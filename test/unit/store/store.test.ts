import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { App } from '../../../src/domain/app';
import type { Dyno } from '../../../src/domain/dyno';
import type { DynoSizeName } from '../../../src/domain/dyno-size';
import type {
  AccountId,
  AppId,
  DomainId,
  DynoId,
  ReleaseId,
  SlugId,
  SniEndpointId,
} from '../../../src/domain/ids';
import type { OneOff } from '../../../src/domain/one-off';
import type { Slug } from '../../../src/domain/slug';
import type { SniEndpoint } from '../../../src/domain/sni-endpoint';
import type { NewRelease } from '../../../src/store/releases';
import { Store } from '../../../src/store/store';
import { Database, isUniqueViolation } from '../../../src/store/database';
import { migrate } from '../../../src/store/migrate';

const AT = new Date('2026-01-02T03:04:05.678Z');

function anApp(store: Store, more: Partial<App> = {}): App {
  const ownerId = store.accounts.first()?.id ?? (randomUUID() as AccountId);
  if (store.accounts.first() === undefined) {
    store.accounts.insert({ id: ownerId, email: 'a@b.example', createdAt: AT });
  }
  return {
    id: randomUUID() as AppId,
    name: 'demo',
    ownerId,
    stack: 'heroku-24',
    buildStack: 'heroku-24',
    maintenance: false,
    buildpackProvidedDescription: null,
    slugSize: 0,
    repoSize: 0,
    createdAt: AT,
    updatedAt: AT,
    releasedAt: null,
    ...more,
  };
}

function aRelease(app: App, more: Partial<NewRelease> = {}): NewRelease {
  return {
    id: randomUUID() as ReleaseId,
    appId: app.id,
    description: 'Initial release',
    status: 'succeeded',
    slugId: null,
    command: null,
    configVars: { A: '1' },
    addonPlanNames: [],
    attachmentVars: [],
    user: { id: app.ownerId, email: 'a@b.example' },
    createdAt: AT,
    updatedAt: AT,
    ...more,
  };
}

describe('migrate', () => {
  test('refuses files that bear the same number, which would be skipped', () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'dynodock-migrations-'));
    writeFileSync(path.join(folder, '0001-a.sql'), 'CREATE TABLE a (x) ;');
    writeFileSync(path.join(folder, '0001-b.sql'), 'CREATE TABLE b (x) ;');
    const database = new Database(':memory:');
    expect(() => migrate(database, folder)).toThrow('migration 0001-b.sql does not have the number 2');
    expect(database.schemaVersion).toBe(0);
    database.close();
    rmSync(folder, { recursive: true });
  });

  test('refuses a database that a newer version has written', () => {
    const database = new Database(':memory:');
    database.schemaVersion = 9999;
    expect(() => migrate(database)).toThrow('written by a newer dynodock');
    database.close();
  });
});

describe('Store', () => {
  let store: Store;
  beforeEach(() => {
    store = Store.open(':memory:');
  });
  afterEach(() => store.close());

  test('gives back an app as it was stored', () => {
    const app = anApp(store, { releasedAt: AT, maintenance: true, slugSize: 42 });
    store.apps.insert(app);
    expect(store.apps.get(app.id)).toEqual(app);
    expect(store.apps.findByName('demo')).toEqual(app);
    store.apps.update({ ...app, name: 'renamed', maintenance: false });
    expect(store.apps.all()).toEqual([{ ...app, name: 'renamed', maintenance: false }]);
  });

  test('refuses a second app of the same name', () => {
    store.apps.insert(anApp(store));
    let error: unknown;
    try {
      store.apps.insert(anApp(store));
    } catch (caught) {
      error = caught;
    }
    expect(isUniqueViolation(error)).toBe(true);
  });

  test('numbers releases per app without gaps and knows the current one', () => {
    const app = anApp(store);
    store.apps.insert(app);
    const other = anApp(store, { name: 'other' });
    store.apps.insert(other);
    expect(store.releases.insert(aRelease(app)).version).toBe(1);
    expect(store.releases.insert(aRelease(app)).version).toBe(2);
    expect(store.releases.insert(aRelease(other)).version).toBe(1);
    const failed = store.releases.insert(aRelease(app, { status: 'failed' }));
    expect(failed).toMatchObject({ version: 3, current: false });
    expect(store.releases.current(app.id)?.version).toBe(2);
    store.releases.setStatus(failed.id, 'succeeded', AT);
    expect(store.releases.of(app.id).map((release) => [release.version, release.current])).toEqual([
      [1, false],
      [2, false],
      [3, true],
    ]);
  });

  test('rolls a transaction back as a whole, version number included', () => {
    const app = anApp(store);
    store.apps.insert(app);
    expect(() =>
      store.transaction(() => {
        store.releases.insert(aRelease(app));
        store.configVars.replace(app.id, { A: '1' });
        throw new Error('disk full');
      }),
    ).toThrow('disk full');
    expect(store.releases.of(app.id)).toEqual([]);
    expect(store.configVars.get(app.id)).toEqual({});
    expect(store.releases.insert(aRelease(app)).version).toBe(1);
  });

  test('tells of a change only once the outermost transaction is committed', () => {
    const told: string[] = [];
    store.transaction(() => {
      store.transaction(() => store.afterCommit(() => told.push('inner')));
      expect(() =>
        store.transaction(() => {
          store.afterCommit(() => told.push('rolled back'));
          throw new Error('no');
        }),
      ).toThrow('no');
      expect(told).toEqual([]);
    });
    expect(told).toEqual(['inner']);
    store.afterCommit(() => told.push('alone'));
    expect(told).toEqual(['inner', 'alone']);
  });

  test('deletes an app with all that belongs to it and keeps its events', () => {
    const app = anApp(store);
    store.apps.insert(app);
    const slugId = randomUUID() as SlugId;
    store.slugs.insert({
      id: slugId,
      appId: app.id,
      stack: 'heroku-24',
      commit: null,
      commitDescription: null,
      processTypes: { web: 'node server.js' },
      buildpackProvidedDescription: 'Node.js',
      checksum: 'SHA256:00',
      size: 1,
      image: 'x',
      createdAt: AT,
      updatedAt: AT,
    });
    store.releases.insert(aRelease(app, { slugId }));
    store.events.append({
      appId: app.id,
      kind: 'app.create',
      payload: { a: 1 },
      actor: 'a@b.example',
      at: AT,
    });
    store.apps.delete(app.id);
    expect(store.slugs.get(slugId)).toBeUndefined();
    expect(store.events.of(app.id)).toEqual([
      { id: 1, appId: app.id, kind: 'app.create', payload: { a: 1 }, actor: 'a@b.example', at: AT },
    ]);
  });

  test('keeps the images of a release of the container stack, which a slug has none of', () => {
    const app = anApp(store);
    store.apps.insert(app);
    const slug: Slug = {
      id: randomUUID() as SlugId,
      appId: app.id,
      stack: 'container',
      commit: null,
      commitDescription: null,
      processTypes: { web: 'x' },
      buildpackProvidedDescription: null,
      checksum: 'SHA256:00',
      size: 1,
      image: 'x',
      images: { web: { reference: 'x', id: 'sha256:0', argv: ['x', 'y z'], runsAsRoot: true } },
      createdAt: AT,
      updatedAt: AT,
    };
    store.slugs.insert(slug);
    expect(store.slugs.get(slug.id)).toMatchObject(slug);
    const plain: Slug = { ...slug, id: randomUUID() as SlugId };
    delete plain.images;
    store.slugs.insert(plain);
    expect(store.slugs.get(plain.id)).toMatchObject(plain);
    expect(store.slugs.get(plain.id)?.images).toBeUndefined();
  });

  test('keeps certificates apart from their keys, and frees domains when one goes', () => {
    const app = anApp(store);
    store.apps.insert(app);
    const endpoint: SniEndpoint = {
      id: randomUUID() as SniEndpointId,
      appId: app.id,
      name: 'kyoto-04213',
      certificateId: randomUUID(),
      certificateChain: 'CHAIN',
      certificate: {
        domains: ['www.example.com'],
        startsAt: AT,
        expiresAt: new Date(AT.getTime() + 1000),
        issuer: '/CN=CA',
        subject: '/CN=www.example.com',
        selfSigned: false,
        caSigned: true,
      },
      createdAt: AT,
      updatedAt: AT,
    };
    store.sniEndpoints.insert(endpoint, 'KEY');
    expect(store.sniEndpoints.of(app.id)).toEqual([endpoint]);
    expect(store.sniEndpoints.findByName('kyoto-04213')).toEqual(endpoint);
    expect(JSON.stringify(store.sniEndpoints.of(app.id))).not.toContain('KEY');
    expect(store.sniEndpoints.keyPair(endpoint.id)).toEqual({ certificateChain: 'CHAIN', privateKey: 'KEY' });
    store.sniEndpoints.update({ ...endpoint, certificateChain: 'NEXT' }, 'NEXT KEY');
    expect(store.sniEndpoints.keyPair(endpoint.id)).toEqual({
      certificateChain: 'NEXT',
      privateKey: 'NEXT KEY',
    });

    const id = randomUUID() as DomainId;
    const domain = {
      id,
      appId: app.id,
      hostname: 'www.example.com',
      kind: 'custom',
      createdAt: AT,
      updatedAt: AT,
    } as const;
    store.domainNames.insert({ ...domain, sniEndpointId: null });
    store.domainNames.associate(id, endpoint.id, AT);
    expect(store.domainNames.findByHostname('www.example.com')?.sniEndpointId).toBe(endpoint.id);
    store.sniEndpoints.delete(endpoint.id);
    expect(store.domainNames.findByHostname('www.example.com')).toEqual({ ...domain, sniEndpointId: null });
    expect(store.sniEndpoints.keyPair(endpoint.id)).toBeUndefined();
  });

  test('keeps what a one-off dyno is, whatever happens to it, and forgets it with the dyno', () => {
    const app = anApp(store);
    store.apps.insert(app);
    const release = store.releases.insert(aRelease(app));
    const oneOff: OneOff = {
      attached: true,
      terminal: { columns: 133, rows: 44 },
      env: { TERM: 'xterm' },
      expiresAt: AT,
    };
    const dyno: Dyno = {
      id: randomUUID() as DynoId,
      appId: app.id,
      releaseId: release.id,
      releaseVersion: release.version,
      type: 'run',
      number: 1234,
      size: 'eco' as DynoSizeName,
      command: 'bash',
      state: 'starting',
      superseded: false,
      sandbox: null,
      port: null,
      endpoint: null,
      crashCount: 0,
      nextStartAt: null,
      createdAt: AT,
      updatedAt: AT,
      startedAt: null,
      oneOff,
    };
    const piped: Dyno = {
      ...dyno,
      id: randomUUID() as DynoId,
      number: 1235,
      oneOff: { attached: false, terminal: null, env: {}, expiresAt: null },
    };
    const formation: Dyno = { ...dyno, id: randomUUID() as DynoId, type: 'web', oneOff: null };
    for (const row of [dyno, piped, formation]) store.dynos.save(row);
    store.dynos.save({ ...dyno, state: 'up', startedAt: AT });
    expect(store.dynos.of(app.id)).toEqual([{ ...dyno, state: 'up', startedAt: AT }, piped, formation]);
    store.dynos.delete(dyno.id);
    store.dynos.save({ ...dyno, oneOff: null });
    expect(store.dynos.get(dyno.id)?.oneOff).toBeNull();
  });
});

describe('diagnoses', () => {
  test('come back as they were, and go when they are old', () => {
    const store = Store.open(':memory:');
    const diagnosis = {
      id: '11111111-2222-4333-8444-555555555555',
      app: 'demo',
      database: 'DATABASE_URL',
      checks: [{ name: 'Bloat', status: 'red' as const, results: [{ object: 'public.a', bloat: 12 }] }],
      createdAt: new Date(5000),
    };
    store.diagnoses.insert(diagnosis);
    expect(store.diagnoses.get(diagnosis.id)).toEqual(diagnosis);
    store.diagnoses.deleteBefore(new Date(5000));
    expect(store.diagnoses.get(diagnosis.id)).toEqual(diagnosis);
    store.diagnoses.deleteBefore(new Date(5001));
    expect(store.diagnoses.get(diagnosis.id)).toBeUndefined();
    store.close();
  });
});
