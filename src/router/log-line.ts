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
  protocol: 'http' | 'https';
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

/** The router's logfmt, fields in Heroku's order (Dev Center "HTTP Routing", "Heroku router log format"). */
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
    `status=${record.status ?? ''} bytes=${record.bytes ?? ''} protocol=${record.protocol}`
  );
}

/**
 * A quoted value on one line: a client chooses its path and its X-Forwarded-For, and must be able to forge
 * neither a field nor a line with them.
 */
export function quote(value: string): string {
  if (HARMLESS.test(value)) return `"${value}"`;
  return `"${value.replace(/["\\]/g, '\\$&').replace(UNPRINTABLE, escapeCharacter)}"`;
}

/** An unquoted value: what would end it is escaped. */
function bare(value: string): string {
  if (HARMLESS.test(value) && !value.includes('=')) return value;
  return value.replace(UNPRINTABLE, escapeCharacter).replace(/[ "=\\]/g, escapeCharacter);
}

/** Nearly every value: printable ASCII without space, quote and backslash. */
const HARMLESS = /^[!#-[\]-~]*$/;

// Controls, and what some viewers take for a line's end.
// eslint-disable-next-line no-control-regex -- finding control characters is the point
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g;

function escapeCharacter(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

function milliseconds(value: number | null): string {
  return value === null ? '' : `${Math.max(0, Math.round(value))}ms`;
}
