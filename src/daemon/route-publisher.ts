import type { App } from '../domain/app';
import { dynoName } from '../domain/dyno';
import type { DomainName } from '../domain/domain-name';
import type { KeyPair, SniEndpoint } from '../domain/sni-endpoint';
import { sleepPolicy, sleepStateOf, type SleepPolicy } from '../domain/sleep';
import type { Clock } from '../lib/clock';
import type { AppRoutes, RouteTable } from '../router/protocol';
import type { Store } from '../store/store';
import { DEFAULT_HOST } from './app-certificates';

export interface RoutePublisherOptions {
  store: Store;
  clock: Clock;
  certificates: CertificateSource;
  /** How an app sleeps that has no settings of its own. */
  sleep: SleepPolicy;
  /** The pool of dyno hours is empty. */
  quotaExhausted: () => boolean;
  publish: (table: RouteTable) => void;
}

/** Ids of certificates, whose files the router finds. */
export interface CertificateSource {
  /** null = none yet; the table is to be made anew when that changes. */
  forHost(host: string): string | null;
  forChain(certificateChain: string, read: () => KeyPair): string | null;
}

/** Turns what the store says into route tables. Changes of one turn of the event loop make one table. */
export class RoutePublisher {
  readonly #options: RoutePublisherOptions;
  #version = 0;
  #scheduled = false;
  #stopped = false;
  #certificateIds: ReadonlySet<string> = new Set();

  constructor(options: RoutePublisherOptions) {
    this.#options = options;
  }

  changed(): void {
    if (this.#scheduled || this.#stopped) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (!this.#stopped) this.#options.publish(this.#table());
    });
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Of the newest table. */
  get certificateIds(): ReadonlySet<string> {
    return this.#certificateIds;
  }

  #table(): RouteTable {
    const { store, clock, certificates, sleep, quotaExhausted } = this.#options;
    const exhausted = quotaExhausted();
    // Grows over restarts of the daemon too, with nothing to store.
    this.#version = Math.max(this.#version + 1, clock.now().getTime());
    const apps = store.apps.all().map((app) => routesOf(store, certificates, app, sleep, exhausted));
    const defaultId = certificates.forHost(DEFAULT_HOST);
    const ids = apps.flatMap((app) => Object.values(app.certificates ?? {}));
    this.#certificateIds = new Set(defaultId === null ? ids : [...ids, defaultId]);
    return {
      version: this.#version,
      apps,
      ...(defaultId === null ? {} : { default_certificate: defaultId }),
    };
  }
}

function routesOf(
  store: Store,
  certificates: CertificateSource,
  app: App,
  sleep: SleepPolicy,
  exhausted: boolean,
): AppRoutes {
  const domains = store.domainNames.of(app.id);
  const release = store.releases.current(app.id);
  const slug = store.slugs.ofRelease(release);
  const all = store.dynos.of(app.id);
  const dynos = all.filter((dyno) => dyno.type === 'web' && dyno.state !== 'down');
  // Preboot: the old dynos have all requests until their successors have proved themselves.
  const superseded = dynos.filter((dyno) => dyno.superseded);
  const sleepState = sleepStateOf(all);
  const { idleAfterMs } = sleepPolicy(sleep, store.appSleep.get(app.id));
  const web = store.formations.of(app.id).find((formation) => formation.type === 'web');
  return {
    app_id: app.id,
    app_name: app.name,
    hosts: domains.map((domain) => domain.hostname),
    certificates: certificatesOf(store, certificates, app, domains),
    maintenance: app.maintenance,
    has_code: slug !== undefined,
    session_affinity: store.appFeatures.isEnabled(app.id, 'http-session-affinity'),
    web_quantity: slug !== undefined && 'web' in slug.processTypes ? (web?.quantity ?? 0) : 0,
    dynos: (superseded.length > 0 ? superseded : dynos).map((dyno) => ({
      id: dyno.id,
      name: dynoName(dyno),
      // Never started, because the engine refused to: no crash of the app's, so that requests wait for the next try.
      state: dyno.state === 'crashed' && dyno.startedAt === null ? 'starting' : dyno.state,
      endpoint: dyno.endpoint,
    })),
    quota_exhausted: exhausted && sleepState !== 'sleepless',
    idle_after_ms: sleepState === 'sleepless' || idleAfterMs === 0 ? null : idleAfterMs,
    maintenance_page_url: release?.configVars.MAINTENANCE_PAGE_URL ?? null,
    error_page_url: release?.configVars.ERROR_PAGE_URL ?? null,
  };
}

function certificatesOf(
  store: Store,
  certificates: CertificateSource,
  app: App,
  domains: readonly DomainName[],
): Record<string, string> {
  const endpoints = domains.some(({ sniEndpointId }) => sniEndpointId !== null)
    ? new Map(store.sniEndpoints.of(app.id).map((endpoint) => [endpoint.id, endpoint]))
    : undefined;
  return Object.fromEntries(
    domains.flatMap(({ hostname, sniEndpointId }) => {
      const endpoint = sniEndpointId === null ? undefined : endpoints?.get(sniEndpointId);
      const id =
        endpoint === undefined
          ? certificates.forHost(hostname)
          : certificates.forChain(endpoint.certificateChain, () => keyPairOf(store, endpoint));
      return id === null ? [] : [[hostname, id]];
    }),
  );
}

function keyPairOf(store: Store, { id, name }: SniEndpoint): KeyPair {
  const keyPair = store.sniEndpoints.keyPair(id);
  if (keyPair === undefined) throw new Error(`the key of ${name} is gone`);
  return keyPair;
}
