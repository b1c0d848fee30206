import type { ContainerLogLine } from './engine';
import type { Frame } from './frames';

/** Heroku cuts longer lines into pieces of this size (Dev Center "Limits", Logplex). */
export const MAX_LINE_BYTES = 10_000;

const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const SPACE = 0x20;

/** One stream's bytes into lines without their line ends, in pieces of at most MAX_LINE_BYTES. */
export class LineSplitter {
  #pending: Buffer = Buffer.alloc(0);
  /** Has a piece of the current line been given out? Then an empty rest is no line of its own. */
  #continues = false;

  push(bytes: Buffer): string[] {
    const lines: string[] = [];
    let rest = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes]);
    for (;;) {
      const end = rest.indexOf(NEWLINE);
      if (end === -1) break;
      const stop = end > 0 && rest[end - 1] === CARRIAGE_RETURN ? end - 1 : end;
      this.#cut(rest.subarray(0, stop), lines, true);
      rest = rest.subarray(end + 1);
    }
    this.#pending = this.#cut(rest, lines, false);
    return lines;
  }

  /** The last line, if it has no line end. */
  flush(): string[] {
    const lines: string[] = [];
    if (this.#pending.length > 0) this.#cut(this.#pending, lines, true);
    this.#pending = Buffer.alloc(0);
    return lines;
  }

  get hasPending(): boolean {
    return this.#pending.length > 0 || this.#continues;
  }

  /** Gives out what is too long to go on waiting for its line end, or everything if `complete`; answers the rest. */
  #cut(bytes: Buffer, lines: string[], complete: boolean): Buffer {
    let rest = bytes;
    while (rest.length > MAX_LINE_BYTES) {
      const size = wholeCharacters(rest, MAX_LINE_BYTES);
      lines.push(rest.toString('utf8', 0, size));
      rest = rest.subarray(size);
      this.#continues = true;
    }
    if (!complete) return rest;
    if (rest.length > 0 || !this.#continues) lines.push(rest.toString('utf8'));
    this.#continues = false;
    return rest.subarray(rest.length);
  }
}

/** The largest size up to `max` that tears no UTF-8 character; `max` itself where the bytes are not UTF-8. */
function wholeCharacters(bytes: Buffer, max: number): number {
  for (let size = max; size > max - 4; size--) {
    // A byte 10xxxxxx continues a character, so the cut must not come right before it.
    if (((bytes[size] ?? 0) & 0b1100_0000) !== 0b1000_0000) return size;
  }
  return max;
}

/**
 * Docker's log frames with timestamps into lines. Each frame is one record of the log: an RFC 3339 time, a space
 * and the text, which ends in a newline unless the engine has split a long line (at 16 KiB) into several records.
 * A line has the time of its first record. Lines up to and including `after` are left out.
 */
export async function* linesOf(
  frames: AsyncIterable<Frame>,
  after: bigint,
): AsyncGenerator<ContainerLogLine> {
  const splitters = { stdout: new LineSplitter(), stderr: new LineSplitter() };
  const begun = { stdout: 0n, stderr: 0n };
  for await (const { stream, payload } of frames) {
    const gap = payload.indexOf(SPACE);
    const time = gap === -1 ? undefined : parseTime(payload.toString('latin1', 0, gap));
    const splitter = splitters[stream];
    if (time !== undefined && !splitter.hasPending) begun[stream] = time;
    const text = time === undefined ? payload : payload.subarray(gap + 1);
    for (const line of splitter.push(text)) {
      if (begun[stream] > after) yield lineAt(begun[stream], stream, line);
    }
  }
  for (const stream of ['stdout', 'stderr'] as const) {
    for (const line of splitters[stream].flush()) {
      if (begun[stream] > after) yield lineAt(begun[stream], stream, line);
    }
  }
}

/**
 * A TTY's log comes unframed: this makes each of its lines one frame, so that `linesOf` can read it. The times
 * which the engine puts into the middle of lines beyond 16 KiB cannot be told from text there, and stay.
 */
export async function* unframed(source: AsyncIterable<Buffer>): AsyncGenerator<Frame> {
  let pending: Buffer[] = [];
  for await (const chunk of source) {
    let rest = chunk;
    for (;;) {
      const end = rest.indexOf(NEWLINE);
      if (end === -1) break;
      yield { stream: 'stdout', payload: Buffer.concat([...pending, rest.subarray(0, end + 1)]) };
      pending = [];
      rest = rest.subarray(end + 1);
    }
    if (rest.length > 0) pending.push(rest);
  }
  if (pending.length > 0) yield { stream: 'stdout', payload: Buffer.concat(pending) };
}

const RFC_3339 = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/;

/** Nanoseconds since 1970 of an RFC 3339 time, undefined if it is none. */
export function parseTime(text: string): bigint | undefined {
  const match = RFC_3339.exec(text);
  if (match === null) return undefined;
  const seconds = Date.parse(`${match[1] ?? ''}${match[3] ?? ''}`) / 1000;
  if (!Number.isInteger(seconds)) return undefined;
  return BigInt(seconds) * 1_000_000_000n + BigInt((match[2] ?? '').padEnd(9, '0'));
}

/** The last instant that `since` excludes, in nanoseconds; see LogOptions. Throws RangeError on a malformed position. */
export function lastExcluded(since: Date | string | undefined): bigint {
  if (since === undefined) return -1n;
  if (since instanceof Date) return BigInt(since.getTime()) * 1_000_000n + 999_999n;
  const match = /^(\d+)\.(\d{9})$/.exec(since);
  if (match === null) throw new RangeError('malformed log position');
  return BigInt(match[1] ?? '0') * 1_000_000_000n + BigInt(match[2] ?? '0');
}

/** Nanoseconds as the engine takes them in a query and as ContainerLogLine.position has them. */
export function formatPosition(nanoseconds: bigint): string {
  const fraction = (nanoseconds % 1_000_000_000n).toString().padStart(9, '0');
  return `${(nanoseconds / 1_000_000_000n).toString()}.${fraction}`;
}

function lineAt(nanoseconds: bigint, stream: Frame['stream'], text: string): ContainerLogLine {
  return {
    at: new Date(Number(nanoseconds / 1_000_000n)),
    position: formatPosition(nanoseconds),
    stream,
    text,
  };
}
