/** What the router's log lines say of one run. */
export interface RouterTally {
  /** Lines of this run's requests. */
  linesSeen: number;
  /** Requests by the dyno that got them; those that reached none are not in it. */
  dynos: Map<string, number>;
  hCodes: Map<string, { desc: string; count: number }>;
}

/** One field of the router's logfmt (Dev Center "HTTP Routing", "Heroku router log format"). */
const FIELD = /([a-z_]+)=(?:"((?:[^"\\]|\\.)*)"|([^ "]*))(?: |$)/gy;

/** Counts the lines of the requests that bear one request id; all of a run do. */
export class RouterLines {
  readonly #requestId: string;
  readonly tally: RouterTally = { linesSeen: 0, dynos: new Map(), hCodes: new Map() };

  constructor(requestId: string) {
    this.#requestId = requestId;
  }

  /** A line as the log stream has it: `2012-… heroku[router]: at=info …` */
  add(line: string): void {
    // Most of the work is done for lines that are ours; others shall cost little.
    if (!line.includes(this.#requestId)) return;
    const fields = readFields(line.slice(line.indexOf(': ') + 2));
    // A path can hold the same text; the field can't be forged, since the router quotes and escapes.
    if (fields.get('request_id') !== this.#requestId) return;
    const { tally } = this;
    tally.linesSeen += 1;
    const dyno = fields.get('dyno') ?? '';
    if (dyno !== '') tally.dynos.set(dyno, (tally.dynos.get(dyno) ?? 0) + 1);
    const code = fields.get('code');
    if (code !== undefined) {
      const known = tally.hCodes.get(code) ?? { desc: fields.get('desc') ?? '', count: 0 };
      known.count += 1;
      tally.hCodes.set(code, known);
    }
  }
}

/** The fields of one line; reading ends at what is no field. */
export function readFields(text: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const [, name = '', quoted, bare] of text.matchAll(FIELD)) {
    fields.set(name, quoted === undefined ? (bare ?? '') : quoted.replace(/\\(["\\])/g, '$1'));
  }
  return fields;
}
