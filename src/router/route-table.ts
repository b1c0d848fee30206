import type { AppRoutes, RouteTable } from './protocol';

export const EMPTY_TABLE: RouteTable = { version: 0, apps: [] };

interface Route {
  app: AppRoutes;
  certificate: string | null;
}

/** One route table, indexed for lookup. Immutable: each new table makes a new one. */
export class RouteIndex {
  readonly version: number;
  readonly table: RouteTable;
  readonly #byId = new Map<string, AppRoutes>();
  readonly #exact = new Map<string, Route>();
  /** `example.org` for `*.example.org`. */
  readonly #wildcard = new Map<string, Route>();

  constructor(table: RouteTable) {
    this.table = table;
    this.version = table.version;
    for (const app of table.apps) {
      this.#byId.set(app.app_id, app);
      for (const entry of app.hosts) {
        const host = hostnameOf(entry);
        const index = host.startsWith('*.') ? this.#wildcard : this.#exact;
        const name = host.startsWith('*.') ? host.slice(2) : host;
        // A name belongs to one app; should the daemon ever err, the first one keeps it.
        if (!index.has(name)) index.set(name, { app, certificate: app.certificates?.[entry] ?? null });
      }
    }
  }

  /** The app that serves a Host header: an exact name wins over a wildcard, which stands for exactly one label. */
  find(host: string): AppRoutes | undefined {
    return this.#route(host)?.app;
  }

  /** Id of the certificate for a host, by the same rule; the default one where it has none; null = none at all. */
  certificateOf(host: string): string | null {
    return this.#route(host)?.certificate ?? this.table.default_certificate ?? null;
  }

  app(appId: string): AppRoutes | undefined {
    return this.#byId.get(appId);
  }

  #route(host: string): Route | undefined {
    const name = hostnameOf(host);
    const exact = this.#exact.get(name);
    if (exact) return exact;
    const dot = name.indexOf('.');
    return dot <= 0 ? undefined : this.#wildcard.get(name.slice(dot + 1));
  }
}

/** The name in a Host header: lower case, without port, without the dot that ends an absolute name. */
export function hostnameOf(host: string): string {
  const name = host
    .trim()
    .toLowerCase()
    .replace(/:\d*$/, (port) => (isBareIpv6(host) ? port : ''));
  return name.endsWith('.') ? name.slice(0, -1) : name;
}

/** `::1` without its brackets is no valid Host, but must not lose its last group as if that were a port. */
function isBareIpv6(host: string): boolean {
  return !host.includes('[') && host.indexOf(':') !== host.lastIndexOf(':');
}
