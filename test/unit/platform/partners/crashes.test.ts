import { randomUUID } from 'node:crypto';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import type { PartnerAnswer, PartnerRequest } from '../../../../src/addons/partner-client';
import type { PartnerEndpoint } from '../../../../src/addons/provider';
import { ProviderRegistry } from '../../../../src/addons/registry';
import type { Account } from '../../../../src/domain/account';
import type { App } from '../../../../src/domain/app';
import { parseDynoSize } from '../../../../src/domain/dyno-size';
import { systemClock } from '../../../../src/lib/clock';
import { deferred, type Deferred } from '../../../../src/lib/deferred';
import { silentLogger } from '../../../../src/lib/logger';
import { Logplex } from '../../../../src/logplex/logplex';
import { AccountService } from '../../../../src/platform/account/account';
import { AddOns } from '../../../../src/platform/addons/addons';
import { Partners } from '../../../../src/platform/addons/partners/partners';
import { Apps } from '../../../../src/platform/apps/apps';
import type { PlatformContext } from '../../../../src/platform/context';
import { ReleasePhase } from '../../../../src/platform/releases/release-phase';
import { Releases } from '../../../../src/platform/releases/releases';
import { Store } from '../../../../src/store/store';
import { TestBackends } from '../../../support/addon-backends';

jest.setTimeout(120_000);

/**
 * - `good`: does it and says so
 * - `lost`: does it, and the answer is lost
 * - `away`: does nothing
 * - `later`: 202, and no callback yet
 * - `refuse`: 422
 */
type Mood = 'good' | 'lost' | 'away' | 'later' | 'refuse';

/** A partner in memory. It outlives all daemons. */
class ModelPartner {
  readonly held = new Map<string, string>();
  /** Each request that was sent while the daemon wanted the add-on, and must not have been. */
  readonly wrong: string[] = [];
  readonly moods: Mood[];

  constructor(moods: readonly Mood[]) {
    this.moods = [...moods];
  }

  ask(daemon: TestDaemon, { method, path: where, body }: PartnerRequest): PartnerAnswer {
    const mood = this.moods.shift() ?? 'good';
    const { uuid, plan } = (body ?? {}) as { uuid?: string; plan?: string };
    const id = uuid ?? where.slice(1);
    const state = daemon.store.addons.all().find((addon) => addon.id === id)?.state;
    if (method === 'DELETE' && (state === 'provisioning' || state === 'provisioned'))
      this.wrong.push('DELETE');
    const isUnknown = method !== 'POST' && !this.held.has(id);
    if (isUnknown && mood !== 'away' && mood !== 'lost')
      return { kind: 'refused', status: 410, message: null };
    if (mood === 'away') return { kind: 'failed', reason: 'is away' };
    // Going back to the plan that it had is nothing to refuse: nobody could make it agree then.
    if (mood === 'refuse' && !(method === 'PUT' && plan === 'basic'))
      return { kind: 'refused', status: 422, message: 'No.' };
    if (mood === 'later' && method !== 'PUT') {
      if (method === 'POST') this.held.set(id, plan ?? '');
      return { kind: 'accepted', body: { id } };
    }
    if (method === 'DELETE') this.held.delete(id);
    else if (method === 'POST' || this.held.has(id)) this.held.set(id, plan ?? '');
    if (mood === 'lost') return { kind: 'failed', reason: 'hung up' };
    return { kind: 'done', body: { id, config: { ACME_URL: `${plan ?? ''} of ${id}` } } };
  }
}

class Killed extends Error {}

const MANIFEST = JSON.stringify({
  id: 'acme',
  api: {
    config_vars: ['ACME_URL'],
    password: 'p',
    version: 3,
    test: { base_url: 'http://127.0.0.1:1/heroku/resources' },
  },
  plans: ['basic', 'pro'],
});

/** What of a daemon concerns partners, on a database on disk; killed at its n-th write. */
class TestDaemon {
  readonly store: Store;
  readonly addons: AddOns;
  readonly partners: Partners;
  readonly apps: Apps;
  readonly account: Account;
  isDead = false;
  readonly died: Deferred<void> = deferred();
  #writes = 0;

  constructor(
    folder: string,
    partner: ModelPartner,
    readonly killAt = Number.MAX_SAFE_INTEGER,
  ) {
    this.store = Store.open(path.join(folder, 'db'));
    const context: PlatformContext = {
      store: this.store,
      clock: systemClock,
      logplex: new Logplex(systemClock),
      dynoManager: {
        kick: () => undefined,
        restart: () => 0,
        idle: () => false,
        wake: () => null,
        discard: () => Promise.resolve(),
        attach: () => undefined,
        runInside: () => undefined,
      },
      newId: randomUUID,
      random: Math.random,
      settings: {
        defaultDynoSize: parseDynoSize('basic'),
        appDomain: 'localhost',
        routerHttpPort: 8080,
        apiPort: 5050,
        herokuLimits: false,
      },
      changed: () => undefined,
    };
    const phase = new ReleasePhase(context, { outputDir: folder, logger: silentLogger });
    const releases = new Releases(context, phase);
    const providers = new ProviderRegistry([]);
    this.partners = new Partners(context, {
      providers,
      addons: () => this.addons,
      folder: path.join(folder, 'addons'),
      client: {
        ask: (_service: string, _endpoint: PartnerEndpoint, request: PartnerRequest) =>
          this.isDead ? new Promise<never>(() => undefined) : Promise.resolve(partner.ask(this, request)),
      },
      delayMs: () => 1,
      logger: silentLogger,
    });
    const backends = new TestBackends({ store: this.store, clock: systemClock, addons: () => this.addons });
    this.addons = new AddOns(context, {
      releases,
      providers,
      manager: backends.backends,
      host: () => '',
      publishedOn: () => '',
      secret: () => 's',
      logger: silentLogger,
      patienceMs: 200,
      provisioners: { partner: this.partners.resources },
    });
    this.apps = new Apps(context, releases, [this.addons]);
    this.account = new AccountService(context).ensure('a@b.example');
  }

  async start(): Promise<void> {
    await this.partners.services.start();
    await this.addons.start();
    this.partners.resources.start();
  }

  async end(): Promise<void> {
    await this.partners.resources.stop();
    this.store.close();
  }

  /** Until no request is owed. */
  async settle(): Promise<void> {
    for (let quiet = 0; quiet < 4;) {
      await this.partners.resources.idle();
      await new Promise((resolve) => setTimeout(resolve, 2));
      const owed = this.store.partners
        .resources()
        .some(({ phase, wantedPlan }) => phase === 'asking' || phase === 'leaving' || wantedPlan !== null);
      quiet = owed ? 0 : quiet + 1;
    }
  }

  /** Every write outside of a transaction, and every transaction, counts one; the one that kills is not done. */
  beMortal(): void {
    const { store } = this;
    let depth = 0;
    const guard = <A extends unknown[], R>(work: (...args: A) => R) => {
      return (...args: A): R => {
        if (depth === 0) {
          this.#writes += 1;
          if (this.#writes >= this.killAt) this.isDead = true;
        }
        if (this.isDead) {
          this.died.resolve();
          throw new Killed('killed');
        }
        depth += 1;
        try {
          return work(...args);
        } finally {
          depth -= 1;
        }
      };
    };
    store.transaction = guard<[() => unknown], unknown>(
      store.transaction.bind(store),
    ) as Store['transaction'];
    store.partners.saveResource = guard(store.partners.saveResource.bind(store.partners));
    store.partners.deleteResource = guard(store.partners.deleteResource.bind(store.partners));
    store.addons.update = guard(store.addons.update.bind(store.addons));
  }
}

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'partner-crashes-'));
  mkdirSync(path.join(folder, 'template', 'addons'), { recursive: true });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function newFolder(): Promise<string> {
  const template = path.join(folder, 'template');
  const own = mkdtempSync(path.join(folder, 'run-'));
  mkdirSync(path.join(own, 'addons'));
  const seed = path.join(template, 'db');
  try {
    copyFileSync(seed, path.join(own, 'db'));
  } catch {
    // The first one makes what the others copy.
    const daemon = new TestDaemon(template, new ModelPartner([]));
    await daemon.start();
    daemon.partners.services.register(daemon.account, MANIFEST);
    daemon.apps.create(daemon.account, { name: 'demo' });
    await daemon.end();
    copyFileSync(seed, path.join(own, 'db'));
  }
  return own;
}

type Act = 'create' | 'pro' | 'destroy';

/** As a user at a terminal: what fails is left at that. */
async function act(daemon: TestDaemon, what: Act): Promise<void> {
  const app: App = daemon.apps.find('demo');
  const addon = daemon.store.addons.findByName('thing');
  try {
    if (what === 'create')
      await daemon.addons.create(daemon.account, app, { plan: 'acme:basic', name: 'thing' });
    if (addon === undefined) return;
    if (what === 'pro') await daemon.addons.update(daemon.account, app, addon, { plan: 'acme:pro' });
    if (what === 'destroy') await daemon.addons.destroy(daemon.account, app, addon, { force: true });
  } catch (error) {
    if (!(error instanceof Error)) throw error;
  }
}

/** Both sides agree, and config vars say what the partner says. */
function expectAgreement(daemon: TestDaemon, partner: ModelPartner): void {
  const { store } = daemon;
  const live = store.addons.live();
  const provisioned = live.filter(({ state }) => state === 'provisioned');
  expect(partner.wrong).toEqual([]);
  const had = store.partners
    .resources()
    .filter(({ phase }) => phase !== 'gone')
    .map(({ addonId }) => [addonId, store.addons.get(addonId)?.plan]);
  expect(Object.fromEntries(partner.held)).toEqual(Object.fromEntries(had));
  const vars = store.configVars.get(daemon.apps.find('demo').id);
  expect(Object.keys(vars)).toHaveLength(
    provisioned.flatMap(({ config }) => Object.keys(config.values)).length,
  );
  for (const { id, state } of live) {
    const expected: Record<string, string> = {
      provisioning: 'accepted',
      provisioned: 'held',
      deprovisioning: 'parting',
    };
    expect(phaseOf(id)).toBe(expected[state]);
  }

  function phaseOf(id: Parameters<typeof store.partners.resource>[0]): string | undefined {
    return store.partners.resource(id)?.phase;
  }
}

async function live(acts: readonly Act[], moods: readonly Mood[], killAt: number): Promise<boolean> {
  const own = await newFolder();
  const partner = new ModelPartner(moods);
  const first = new TestDaemon(own, partner, killAt);
  await first.start();
  first.beMortal();
  for (const what of acts) {
    if (first.isDead) break;
    // Whoever asked a daemon that is killed is not answered.
    const asked = act(first, what);
    await Promise.race([asked, first.died.promise]);
  }
  const wasKilled = first.isDead;
  first.isDead = true;
  void first.partners.resources.stop();
  first.store.close();

  const second = new TestDaemon(own, partner);
  await second.start();
  await second.settle();
  expectAgreement(second, partner);
  // Whatever became of it: it can be given up, and then nobody has anything.
  await act(second, 'destroy');
  await second.settle();
  for (const addon of second.store.addons.all()) {
    if (second.store.partners.resource(addon.id)?.phase !== 'parting') continue;
    partner.held.delete(addon.id);
    second.partners.resources.deprovisioned(addon);
  }
  await second.settle();
  expect(second.store.addons.live()).toEqual([]);
  expect(partner.held.size).toBe(0);
  await second.end();
  rmSync(own, { recursive: true });
  return wasKilled;
}

const ALL: readonly Act[] = ['create', 'pro', 'destroy'];

test('a daemon that is killed at any write goes on where it was, with a good partner', async () => {
  let writes = 1;
  while (await live(ALL, [], writes)) writes += 1;
  // More than a few: POST, PUT and DELETE are each counted, sent and answered.
  expect(writes).toBeGreaterThan(10);
});

test('and with one whose answers get lost, that refuses, or takes its time', async () => {
  const mood = fc.constantFrom<Mood>('good', 'lost', 'away', 'later', 'refuse');
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom<Act>('pro', 'destroy', 'create'), { maxLength: 3 }),
      fc.array(mood, { maxLength: 8 }),
      fc.integer({ min: 2, max: 40 }),
      async (acts, moods, killAt) => {
        await live(['create', ...acts], moods, killAt);
      },
    ),
    { numRuns: 30 },
  );
});
