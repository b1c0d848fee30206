/** Where a build's output goes. Resolves once the sink takes more: a build is no faster than what keeps its output. */
export interface BuildOutput {
  write(chunk: string | Uint8Array): Promise<void>;
}

/** `-----> Discovering process types`: how Heroku's build output marks a step. */
export function heading(text: string): string {
  return `-----> ${text}`;
}

/** Seven spaces: what belongs to the step above. */
export function detail(text: string): string {
  return `       ${text}`;
}

/** ` !     Push failed`: a warning or an error. */
export function complaint(text: string): string {
  return ` !     ${text}`;
}

/** `45.2M`, as in `Done: 45.2M`. */
export function formatSize(bytes: number): string {
  const KIB = 1024;
  if (bytes < KIB) return `${bytes}B`;
  if (bytes < KIB * KIB) return `${(bytes / KIB).toFixed(1)}K`;
  if (bytes < KIB * KIB * KIB) return `${trimZero((bytes / KIB / KIB).toFixed(1))}M`;
  return `${trimZero((bytes / KIB / KIB / KIB).toFixed(1))}G`;
}

/** Heroku writes its limit as `500M`, not `500.0M`. */
function trimZero(text: string): string {
  return text.endsWith('.0') ? text.slice(0, -2) : text;
}

const NEWLINE = 0x0a;

/**
 * Keeps our own lines apart from what buildpacks print, which is passed on as it comes: bytes in no known encoding,
 * in chunks that end anywhere, possibly without a last line end.
 */
export class LineOutput {
  readonly #output: BuildOutput;
  #atLineStart = true;

  constructor(output: BuildOutput) {
    this.#output = output;
  }

  async raw(chunk: Uint8Array): Promise<void> {
    if (chunk.length === 0) return;
    this.#atLineStart = chunk[chunk.length - 1] === NEWLINE;
    await this.#output.write(chunk);
  }

  /** Each on a line of its own. */
  async lines(...lines: readonly string[]): Promise<void> {
    if (lines.length === 0) return;
    const start = this.#atLineStart ? '' : '\n';
    this.#atLineStart = true;
    await this.#output.write(`${start}${lines.join('\n')}\n`);
  }
}
