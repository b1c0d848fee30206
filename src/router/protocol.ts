/**
 * What the daemon and the router say to each other over the unix socket on which the router listens:
 * one JSON object per line, snake_case on the wire. The router keeps the last route table on disk, so it
 * serves on while no daemon is connected. A newer daemon connection replaces an older one.
 */
export const ROUTER_PROTOCOL_VERSION = 2;

/** Daemon → router. */
export type DaemonMessage =
  /**
   * "I am the daemon": log lines and wake requests go to this connection from now on, as they do with any other
   * message. Who only connects may be anybody that looks whether a router runs.
   */
  | { type: 'hello' }
  | { type: 'routes'; table: RouteTable }
  /** Somebody wants the app to sleep now: answered by `idle` or `busy`. */
  | { type: 'park'; app_id: string }
  /** The answer to an `idle` that does not lead to sleep. */
  | { type: 'stay_awake'; app_id: string }
  /** Drain and exit: sent by `dynodock down`. */
  | { type: 'shutdown' };

/** Router → daemon. */
export type RouterMessage =
  | {
      type: 'hello';
      protocol: number;
      pid: number;
      /** Version of the table being served, 0 for none. */
      table_version: number;
      http_port: number;
      /** Absent when it does not speak TLS. */
      https_port?: number;
    }
  /** The table of that version is being served from now on. */
  | { type: 'applied'; table_version: number }
  | { type: 'log'; lines: RouterLogLine[] }
  /** A request for an app whose web dynos sleep is being held. */
  | {
      type: 'wake';
      app_id: string;
      request_id: string;
      method: string;
      path: string;
      fwd: string;
      /** When it came, ISO 8601. */
      at: string;
    }
  /** A request that had waited for the wake has its first byte. Once per wake. */
  | {
      type: 'woken';
      app_id: string;
      /** ISO 8601. */
      at: string;
      /** Requests that waited when the dyno was there. */
      held: number;
    }
  /**
   * Nothing of the app is under way, nothing was for `quiet_ms`, and its requests are held from now on, for some
   * seconds: it may be put to sleep. Answered by a table in which it sleeps, or by `stay_awake`.
   */
  | { type: 'idle'; app_id: string; quiet_ms: number }
  /** The answer to a `park` that cannot be. */
  | { type: 'busy'; app_id: string; in_flight: number };

export interface RouterLogLine {
  app_id: string;
  /** ISO 8601. */
  at: string;
  /** The logfmt text of semantics §3.3, `at=info method=GET path="/" …`. */
  text: string;
}

/** A whole snapshot of what is to be served. `version` grows with each one, over daemon restarts too. */
export interface RouteTable {
  version: number;
  apps: AppRoutes[];
  /** For TLS clients that name no host, or one that nobody has; absent = none, and they are turned away. */
  default_certificate?: string;
}

export interface AppRoutes {
  app_id: string;
  app_name: string;
  /** Lower case, without port: exact names, or `*.example.org` for any one label in front. */
  hosts: string[];
  /**
   * Host as in `hosts` → id of its certificate, a file of that name in the folder that daemon and router share. A host
   * without one gets the default certificate.
   */
  certificates?: Readonly<Record<string, string>>;
  maintenance: boolean;
  /** A release with code exists; without one the app is blank (H81). */
  has_code: boolean;
  /** The app's feature `http-session-affinity`: a client stays with its dyno. */
  session_affinity: boolean;
  /** Wanted number of web dynos; 0 or no web process type = H14. */
  web_quantity: number;
  dynos: RouteDyno[];
  /** It may not run until next month: its pool of dyno hours is empty (H82). */
  quota_exhausted: boolean;
  /** Without traffic for so long it may sleep; null = it never does by itself. */
  idle_after_ms: number | null;
  maintenance_page_url: string | null;
  error_page_url: string | null;
}

export interface RouteDyno {
  id: string;
  /** `web.1` */
  name: string;
  state: 'starting' | 'up' | 'idle' | 'crashed' | 'down';
  /** Where the dyno accepts connections; null until known. */
  endpoint: { host: string; port: number } | null;
}
