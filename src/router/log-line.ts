import { bare, quote } from '../lib/logfmt';
import type { ClientTls } from './client';
import type { RouterError } from './errors';

/** What one request leaves in the app's log, as `heroku[router]:`. */
export interface RequestRecord {
  error: RouterError | null;
  method: string;
  /** With its query string. */
  path: string;
  host: string;
  requestId: string;
  /** X-Forwarded-For as the dyno sees it. */
  fwd: readonly string[];
  /** null while none was reached, and so on below: such a field stays empty. */
  dyno: string | null;
  connectMs: number | null;
  serviceMs: number | null;
  status: number | null;
  /** Head and body sent to the client. */
  bytes: number | null;
  httpVersion: '1.0' | '1.1' | '2.0';
  tls: Pick<ClientTls, 'version'> | null;
}

/** Times as log lines carry them; many lines fall into one millisecond. */
export function timestamps(): (at: Date) => string {
  let lastMs = NaN;
  let text = '';
  return (at) => {
    if (at.getTime() !== lastMs) {
      lastMs = at.getTime();
      text = at.toISOString();
    }
    return text;
  };
}

const TLS_VERSIONS = { 'tlsv1.2': 'tls1.2', 'tlsv1.3': 'tls1.3' } as const;

/** The logfmt of Router 2.0, fields in Heroku's order (Dev Center "HTTP Routing", "Heroku router log format"). */
export function formatLogLine(record: RequestRecord): string {
  const { error } = record;
  // One string, rather than a list of fields: each request pays for this.
  let line = error?.sock === undefined ? '' : `sock=${error.sock} `;
  line += `at=${error?.level ?? 'info'} `;
  if (error !== null) line += `code=${error.code} desc=${quote(error.desc)} `;
  if (error?.cause !== undefined) line += `cause=${quote(error.cause)} `;
  return (
    `${line}method=${bare(record.method)} path=${quote(record.path)} host=${bare(record.host)} ` +
    `request_id=${bare(record.requestId)} fwd=${quote(record.fwd.join(','))} dyno=${bare(record.dyno ?? '')} ` +
    `connect=${milliseconds(record.connectMs)} service=${milliseconds(record.serviceMs)} ` +
    `status=${record.status ?? ''} bytes=${record.bytes ?? ''} protocol=http${record.httpVersion} ` +
    (record.tls === null ? 'tls=false' : `tls=true tls_version=${TLS_VERSIONS[record.tls.version]}`)
  );
}

function milliseconds(value: number | null): string {
  return value === null ? '' : `${Math.max(0, Math.round(value))}ms`;
}
