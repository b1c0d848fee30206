/** One line that was sent as syslog (RFC 5424). */
export interface SyslogLine {
  /** PROCID; null where it is `-`. */
  process: string | null;
  text: string;
}

const HEADER = /^<\d{1,3}>1 \S+ \S+ \S+ (\S+) \S+ ?([^]*)$/;
/** STRUCTURED-DATA, which Heroku leaves out. */
const STRUCTURED_DATA = /^(?:-(?: |$)|(?:\[(?:[^\]\\]|\\.)*\])+ ?)/;

/**
 * The lines of a body in octet counting (RFC 6587, section 3.4.1), as logplex takes and sends them. Throws an Error with
 * what is wrong.
 */
export function parseSyslog(body: Buffer): SyslogLine[] {
  const lines: SyslogLine[] = [];
  for (let at = 0; at < body.length;) {
    const space = body.indexOf(' ', at);
    const digits = space === -1 ? '' : body.toString('latin1', at, space);
    if (!/^[1-9]\d{0,6}$/.test(digits)) throw new Error('a line does not begin with its length');
    const end = space + 1 + Number(digits);
    if (end > body.length) throw new Error('a line is shorter than its length says');
    const match = HEADER.exec(body.toString('utf8', space + 1, end));
    if (match === null) throw new Error('a line is not of RFC 5424');
    const [, process = '-', rest = ''] = match;
    lines.push({
      process: process === '-' ? null : process,
      text: rest.replace(STRUCTURED_DATA, '').replace(/\n+$/, ''),
    });
    at = end;
  }
  return lines;
}
