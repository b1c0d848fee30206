/**
 * Reads HTTP/1 requests out of bytes, as strictly as RFC 9112 allows and sharing no code with the router: what
 * reaches a dyno is judged by this. It knows no leniency. A message that any recipient could take for two, or for
 * another one, is malformed here.
 */

export interface StrictRequest {
  method: string;
  target: string;
  version: '1.0' | '1.1';
  /** As they came, without the space around the value. */
  headers: [name: string, value: string][];
  framing: 'none' | 'length' | 'chunked';
  /** Without its chunks; Latin-1. */
  body: string;
  trailers: [name: string, value: string][];
}

export interface StrictRequests {
  /** Those that came whole. */
  requests: StrictRequest[];
  /** What is behind them: nothing, the beginning of one more request, or what is none. */
  rest: 'nothing' | 'head' | 'body' | 'malformed';
  /** The head whose body is not complete or not well-formed. */
  begun: StrictRequest | null;
  problem: string | null;
}

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
/** RFC 9112 §3; a URI is ASCII (RFC 3986 §2). */
const REQUEST_LINE = new RegExp(`^(${TOKEN}) ([\\x21-\\x7e]+) HTTP/(1\\.[01])$`);
/** RFC 9110 §5.5; no obs-fold (RFC 9112 §5.2), no space before the colon (§5.1). */
const FIELD_LINE = new RegExp(`^(${TOKEN}):[ \\t]*([\\t\\x20-\\x7e\\x80-\\xff]*)$`);
/** RFC 9112 §7.1, extensions by their grammar. */
const CHUNK_LINE = new RegExp(
  `^([0-9A-Fa-f]+)((?:[ \\t]*;[ \\t]*${TOKEN}(?:[ \\t]*=[ \\t]*(?:${TOKEN}|"(?:[^"\\\\\\x00-\\x1f\\x7f]|\\\\[\\x20-\\x7e])*"))?)*)$`,
);

/** Extensions end with the line and with the router: what they look like moves no boundary. */
const LENIENT_CHUNK_LINE = /^([0-9A-Fa-f]+)(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?$/;

class Malformed extends Error {}

/** Thrown where bytes are missing. */
class Incomplete extends Error {
  override message = 'bytes are missing';
}

class Reader {
  at = 0;

  constructor(readonly text: string) {}

  line(): string {
    const end = this.text.indexOf('\n', this.at);
    if (end === -1) throw new Incomplete();
    if (this.text[end - 1] !== '\r' || end === this.at) throw new Malformed('a line ends in a bare LF');
    const line = this.text.slice(this.at, end - 1);
    if (line.includes('\r')) throw new Malformed('a bare CR in a line');
    this.at = end + 1;
    return line;
  }

  /** `pattern`: sticky. */
  skip(pattern: RegExp): void {
    pattern.lastIndex = this.at;
    this.at += pattern.exec(this.text)?.[0].length ?? 0;
  }

  take(length: number): string {
    if (this.text.length - this.at < length) throw new Incomplete();
    this.at += length;
    return this.text.slice(this.at - length, this.at);
  }

  fields(): [string, string][] {
    const fields: [string, string][] = [];
    for (let line = this.line(); line !== ''; line = this.line()) {
      const [, name, value] = FIELD_LINE.exec(line) ?? [];
      if (name === undefined || value === undefined) throw new Malformed(`no field line: ${show(line)}`);
      fields.push([name, value.replace(/[ \t]+$/, '')]);
    }
    return fields;
  }
}

/**
 * `text`: bytes as Latin-1, from the beginning of a connection. `fromClient`: with the leniency that RFC 9112 §2.2 and
 * §3 allow a server before and in a request line, where nothing hangs on it: empty lines, several spaces; and of any
 * number of Host lines, which say nothing about where it ends.
 */
export function readStrictly(text: string, { fromClient = false } = {}): StrictRequests {
  const reader = new Reader(text);
  const requests: StrictRequest[] = [];
  let begun: StrictRequest | null = null;
  try {
    while (reader.at < text.length) {
      begun = null;
      if (fromClient) reader.skip(/[\r\n]*/y);
      if (reader.at === text.length) break;
      begun = readHead(reader, fromClient);
      readBody(reader, begun, fromClient ? LENIENT_CHUNK_LINE : CHUNK_LINE);
      requests.push(begun);
    }
    return { requests, rest: 'nothing', begun: null, problem: null };
  } catch (error) {
    if (error instanceof Incomplete) {
      return { requests, rest: begun === null ? 'head' : 'body', begun, problem: null };
    }
    if (!(error instanceof Malformed)) throw error;
    return { requests, rest: 'malformed', begun, problem: error.message };
  }
}

function readHead(reader: Reader, fromClient: boolean): StrictRequest {
  const line = fromClient ? reader.line().replace(/ +/g, ' ') : reader.line();
  const [, method, target, version] = REQUEST_LINE.exec(line) ?? [];
  if (method === undefined || target === undefined) throw new Malformed(`no request line: ${show(line)}`);
  const headers = reader.fields();
  const request: StrictRequest = {
    method,
    target,
    version: version === '1.0' ? '1.0' : '1.1',
    headers,
    framing: 'none',
    body: '',
    trailers: [],
  };
  const hosts = valuesOf(headers, 'host');
  if (hosts.length !== 1 && !fromClient) throw new Malformed(`${hosts.length} Host lines`);
  request.framing = framingOf(request);
  return request;
}

/** RFC 9112 §6.1 to §6.3: one framing, said once. */
function framingOf(request: StrictRequest): StrictRequest['framing'] {
  const codings = valuesOf(request.headers, 'transfer-encoding');
  const lengths = valuesOf(request.headers, 'content-length');
  if (codings.length + lengths.length > 1) throw new Malformed('framing is said more than once');
  if (codings[0] !== undefined) {
    if (codings[0].toLowerCase() !== 'chunked') throw new Malformed(`coding ${show(codings[0])}`);
    if (request.version === '1.0') throw new Malformed('chunked in HTTP/1.0');
    return 'chunked';
  }
  if (lengths[0] !== undefined) {
    if (!/^\d{1,15}$/.test(lengths[0])) throw new Malformed(`length ${show(lengths[0])}`);
    return 'length';
  }
  return 'none';
}

function readBody(reader: Reader, request: StrictRequest, chunkLine: RegExp): void {
  if (request.framing === 'length') {
    request.body = reader.take(Number(valuesOf(request.headers, 'content-length')[0]));
  } else if (request.framing === 'chunked') {
    for (;;) {
      const line = reader.line();
      const size = chunkLine.exec(line)?.[1]?.replace(/^0+(?=.)/, '');
      if (size === undefined || size.length > 12) throw new Malformed(`chunk line ${show(line)}`);
      const length = parseInt(size, 16);
      if (length === 0) break;
      request.body += reader.take(length);
      if (reader.take(2) !== '\r\n') throw new Malformed('a chunk is longer than it said');
    }
    request.trailers = reader.fields();
  }
}

/** `name` in lower case. */
export function valuesOf(headers: readonly [string, string][], name: string): string[] {
  return headers.filter(([key]) => key.toLowerCase() === name).map(([, value]) => value);
}

const show = (line: string): string => JSON.stringify(line.slice(0, 200));

export interface ReadAnswer {
  status: number;
  reason: string;
  headers: [name: string, value: string][];
  /** Without its chunks; Latin-1. */
  body: string;
  framing: 'none' | 'length' | 'chunked' | 'close';
  trailers: [name: string, value: string][];
  /** It came whole. One that is framed by the connection's end always seems to. */
  whole: boolean;
}

/**
 * All answers on a client's connection, interim ones (1xx) among them. `methods`: of the requests, in order; beyond
 * the last one nothing may come. Throws where a client could not tell the answers apart.
 */
export function readAnswers(text: string, methods: readonly string[] = ['GET']): ReadAnswer[] {
  const answers: ReadAnswer[] = [];
  const reader = new Reader(text);
  const left = [...methods];
  while (reader.at < text.length) {
    const line = reader.line();
    const [, status = '', reason = ''] = /^HTTP\/1\.1 (\d{3}) ([\t\x20-\x7e\x80-\xff]*)$/.exec(line) ?? [];
    if (status === '') throw new Error(`no status line: ${show(line)}`);
    const headers = reader.fields();
    const answer: ReadAnswer = {
      status: Number(status),
      reason,
      headers,
      body: '',
      framing: 'none',
      trailers: [],
      whole: true,
    };
    answers.push(answer);
    if (answer.status < 200 && answer.status !== 101) {
      if (valuesOf(headers, 'content-length').length + valuesOf(headers, 'transfer-encoding').length > 0) {
        throw new Error('an interim answer with a framing');
      }
      continue;
    }
    const method = left.shift();
    if (method === undefined) throw new Error(`an answer that nobody asked for: ${show(line)}`);
    if (method === 'HEAD' || answer.status === 204 || answer.status === 304) continue;
    if (answer.status === 101) {
      answer.body = text.slice(reader.at);
      break;
    }
    readAnswerBody(reader, answer);
  }
  return answers;
}

function readAnswerBody(reader: Reader, answer: ReadAnswer): void {
  const codings = valuesOf(answer.headers, 'transfer-encoding');
  const lengths = valuesOf(answer.headers, 'content-length');
  if (codings.length + lengths.length > 1) throw new Error('an answer whose framing is said more than once');
  try {
    if (codings.length === 1) {
      answer.framing = 'chunked';
      for (;;) {
        const size = parseInt(reader.line(), 16);
        if (size === 0) break;
        answer.body += reader.take(size);
        if (reader.take(2) !== '\r\n') throw new Error('a chunk is longer than it said');
      }
      answer.trailers = reader.fields();
    } else if (lengths[0] !== undefined) {
      answer.framing = 'length';
      answer.body = reader.take(Number(lengths[0]));
    } else {
      answer.framing = 'close';
      answer.body = reader.take(reader.text.length - reader.at);
    }
  } catch (error) {
    if (!(error instanceof Incomplete)) throw error;
    answer.whole = false;
    answer.body += reader.text.slice(reader.at);
    reader.at = reader.text.length;
  }
}
