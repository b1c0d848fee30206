import type { Readable } from 'node:stream';

/** What the runner says first (see runner.sh). */
export type RunnerResult = { failure: RunnerFailure } | { slug: RunnerSlug } | { test: RunnerTest };

export interface RunnerFailure {
  kind: string;
  buildpack: string;
  name: string;
  detail: string;
}
export interface RunnerSlug {
  /** What the last buildpack called the app. */
  app: string;
  buildpacks: string[];
  procfile: string | null;
  /** What bin/release printed. */
  release: string;
}
/** After bin/test has ended. */
export interface RunnerTest {
  app: string;
  buildpacks: string[];
  exitCode: number;
}

/** The runner bounds both texts in it to 256 KiB; JSON may need six bytes for one. */
const MAX_HEADER_BYTES = 4 * 1024 * 1024;

const NEWLINE = 0x0a;

/**
 * Reads the runner's standard output: one line of JSON and then a tar. It comes from a container in which the app's
 * own code has run, hence the checks.
 */
export class ResultReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = Buffer.alloc(0);

  constructor(stdout: Readable) {
    this.#chunks = (stdout as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
  }

  /** undefined if the stream ended before the line did; throws RangeError for anything but a result. */
  async header(): Promise<RunnerResult | undefined> {
    const parts: Uint8Array[] = [];
    let size = 0;
    for (;;) {
      const next = await this.#chunks.next();
      if (next.done) return undefined;
      const end = next.value.indexOf(NEWLINE);
      parts.push(end === -1 ? next.value : next.value.subarray(0, end));
      size += parts.at(-1)?.length ?? 0;
      if (size > MAX_HEADER_BYTES) throw new RangeError('the build result is too long');
      if (end !== -1) {
        this.#rest = next.value.subarray(end + 1);
        return parseResult(Buffer.concat(parts).toString('utf8'));
      }
    }
  }

  /** Everything after the header. */
  async *tar(): AsyncGenerator<Uint8Array> {
    if (this.#rest.length > 0) yield this.#rest;
    for (;;) {
      const next = await this.#chunks.next();
      if (next.done) return;
      yield next.value;
    }
  }
}

export function parseResult(line: string): RunnerResult {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new RangeError('the build result is no JSON', { cause });
  }
  if (isRecord(value) && isRecord(value.failure)) {
    const { kind, buildpack, name, detail } = value.failure;
    if (isText(kind) && isText(buildpack) && isText(name) && isText(detail)) {
      return { failure: { kind, buildpack, name, detail } };
    }
  }
  if (isRecord(value) && isRecord(value.slug)) {
    const { app, buildpacks, procfile, release } = value.slug;
    if (
      isText(app) &&
      Array.isArray(buildpacks) &&
      buildpacks.every(isText) &&
      (procfile === null || isText(procfile)) &&
      isText(release)
    ) {
      return { slug: { app, buildpacks, procfile, release } };
    }
  }
  if (isRecord(value) && isRecord(value.test)) {
    const { app, buildpacks, exitCode } = value.test;
    if (isText(app) && Array.isArray(buildpacks) && buildpacks.every(isText) && Number.isInteger(exitCode)) {
      return { test: { app, buildpacks, exitCode: exitCode as number } };
    }
  }
  throw new RangeError('the build result has an unknown form');
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
function isText(value: unknown): value is string {
  return typeof value === 'string';
}
