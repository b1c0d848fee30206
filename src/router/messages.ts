import type {
  AppRoutes,
  DaemonMessage,
  RouteDyno,
  RouterLogLine,
  RouterMessage,
  RouteTable,
} from './protocol';

/** What came over the control socket, or from the snapshot, is not of the agreed shape. */
export class MessageError extends Error {
  override readonly name = 'MessageError';
}

/** One line from the daemon, checked. Throws MessageError. */
export function parseDaemonMessage(line: string): DaemonMessage {
  const message = record(json(line), 'message');
  switch (message.type) {
    case 'hello':
      return { type: 'hello' };
    case 'routes':
      return { type: 'routes', table: readRouteTable(message.table) };
    case 'park':
    case 'stay_awake':
      return { type: message.type, app_id: text(message.app_id, 'app_id') };
    case 'shutdown':
      return { type: 'shutdown' };
    default:
      throw new MessageError('message has an unknown type');
  }
}

/** One line from the router, checked. Throws MessageError. */
export function parseRouterMessage(line: string): RouterMessage {
  return readRouterMessage(json(line));
}

/** Throws MessageError. */
export function readRouterMessage(value: unknown): RouterMessage {
  const message = record(value, 'message');
  switch (message.type) {
    case 'hello':
      return {
        type: 'hello',
        protocol: integer(message.protocol, 'protocol'),
        pid: integer(message.pid, 'pid'),
        table_version: integer(message.table_version, 'table_version'),
        http_port: integer(message.http_port, 'http_port'),
        ...(message.https_port === undefined
          ? {}
          : { https_port: integer(message.https_port, 'https_port') }),
      };
    case 'applied':
      return { type: 'applied', table_version: integer(message.table_version, 'table_version') };
    case 'log':
      return { type: 'log', lines: array(message.lines, 'lines').map(readLogLine) };
    case 'wake':
      return {
        type: 'wake',
        app_id: text(message.app_id, 'app_id'),
        request_id: text(message.request_id, 'request_id'),
        method: text(message.method, 'method'),
        path: text(message.path, 'path'),
        fwd: text(message.fwd, 'fwd'),
        at: text(message.at, 'at'),
      };
    case 'woken':
      return {
        type: 'woken',
        app_id: text(message.app_id, 'app_id'),
        at: text(message.at, 'at'),
        held: integer(message.held, 'held'),
      };
    case 'idle':
      return {
        type: 'idle',
        app_id: text(message.app_id, 'app_id'),
        quiet_ms: integer(message.quiet_ms, 'quiet_ms'),
      };
    case 'busy':
      return {
        type: 'busy',
        app_id: text(message.app_id, 'app_id'),
        in_flight: integer(message.in_flight, 'in_flight'),
      };
    default:
      throw new MessageError('message has an unknown type');
  }
}

/** Throws MessageError. */
export function readRouteTable(value: unknown): RouteTable {
  const table = record(value, 'table');
  return {
    version: integer(table.version, 'version'),
    apps: array(table.apps, 'apps').map(readApp),
    // Not in tables of the time before https, and so are certificates.
    ...(table.default_certificate == null
      ? {}
      : { default_certificate: certificateId(table.default_certificate, 'default_certificate') }),
  };
}

function readApp(value: unknown): AppRoutes {
  const app = record(value, 'app');
  return {
    app_id: text(app.app_id, 'app_id'),
    app_name: text(app.app_name, 'app_name'),
    hosts: array(app.hosts, 'hosts').map((host) => text(host, 'host')),
    ...(app.certificates === undefined ? {} : { certificates: readCertificates(app.certificates) }),
    maintenance: flag(app.maintenance, 'maintenance'),
    has_code: flag(app.has_code, 'has_code'),
    session_affinity: flag(app.session_affinity, 'session_affinity'),
    web_quantity: integer(app.web_quantity, 'web_quantity'),
    dynos: array(app.dynos, 'dynos').map(readDyno),
    quota_exhausted: flag(app.quota_exhausted, 'quota_exhausted'),
    idle_after_ms: app.idle_after_ms === null ? null : integer(app.idle_after_ms, 'idle_after_ms'),
    maintenance_page_url: textOrNull(app.maintenance_page_url, 'maintenance_page_url'),
    error_page_url: textOrNull(app.error_page_url, 'error_page_url'),
  };
}

function readCertificates(value: unknown): Record<string, string> {
  return Object.fromEntries(
    Object.entries(record(value, 'certificates')).map(([host, id]) => [host, certificateId(id, host)]),
  );
}

/** It becomes a file's name. */
function certificateId(value: unknown, what: string): string {
  const id = text(value, what);
  if (!/^[0-9a-f]{64}$/.test(id)) throw new MessageError(`${what} is no id of a certificate`);
  return id;
}

function readDyno(value: unknown): RouteDyno {
  const dyno = record(value, 'dyno');
  return {
    id: text(dyno.id, 'id'),
    name: text(dyno.name, 'name'),
    state: state(dyno.state),
    endpoint: dyno.endpoint === null ? null : readEndpoint(dyno.endpoint),
  };
}

function readEndpoint(value: unknown): { host: string; port: number } {
  const endpoint = record(value, 'endpoint');
  const port = integer(endpoint.port, 'port');
  if (port < 1 || port > 65_535) throw new MessageError('port is out of range');
  return { host: text(endpoint.host, 'host'), port };
}

function readLogLine(value: unknown): RouterLogLine {
  const line = record(value, 'line');
  return { app_id: text(line.app_id, 'app_id'), at: text(line.at, 'at'), text: text(line.text, 'text') };
}

function state(value: unknown): RouteDyno['state'] {
  switch (value) {
    case 'starting':
    case 'up':
    case 'idle':
    case 'crashed':
    case 'down':
      return value;
    default:
      throw new MessageError('state is none of a dyno');
  }
}

function json(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw new MessageError('message is not JSON', { cause });
  }
}

export function record(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new MessageError(`${what} is not an object`);
  }
  return value as Record<string, unknown>;
}

export function array(value: unknown, what: string): unknown[] {
  if (!Array.isArray(value)) throw new MessageError(`${what} is not a list`);
  return value;
}

export function text(value: unknown, what: string): string {
  if (typeof value !== 'string') throw new MessageError(`${what} is not a string`);
  return value;
}

function textOrNull(value: unknown, what: string): string | null {
  return value === null ? null : text(value, what);
}

export function flag(value: unknown, what: string): boolean {
  if (typeof value !== 'boolean') throw new MessageError(`${what} is not a boolean`);
  return value;
}

export function integer(value: unknown, what: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
    throw new MessageError(`${what} is not a whole number`);
  }
  return value;
}
