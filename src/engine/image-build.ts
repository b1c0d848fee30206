import type { ImageBuildResult, Labels } from './engine';

/** One message of the stream that the engine answers a build with (Docker API, `POST /build`). */
export interface BuildMessage {
  stream?: string;
  /** Of a pull: `Pulling fs layer`, `Downloading` … */
  status?: string;
  id?: string;
  progress?: string;
  error?: string;
  errorDetail?: { code?: number; message?: string };
  aux?: { ID?: string } | unknown[];
}

/** The builder appends our labels as steps of their own. */
const STEP = /^Step (\d+)\/(\d+) : ((\w+).*)/s;
/** In which the builder sets what commands print to standard error. */
// eslint-disable-next-line no-control-regex -- see above
const ERROR_COLOUR = /^\x1b\[91m|\x1b\[0m$/g;
const LAYER = /^ ---> ([0-9a-f]{12,64})\s*$/;
const BUILT = /^Successfully built ([0-9a-f]{12,64})/;

/** Follows the messages of a build: what people are to see of it, and how it ends. */
export class BuildProgress {
  readonly #labelSteps: number;
  #imageId: string | undefined;
  #failure: string | undefined;
  #step: string | undefined;
  #inLabels = false;
  /** The last layer of each stage so far; undefined for one that has none of its own yet. */
  readonly #stages: (string | undefined)[] = [];

  constructor(labels: Labels) {
    this.#labelSteps = Object.keys(labels).length;
  }

  /** Answers the text to be shown. */
  take(message: BuildMessage): string {
    if (message.error !== undefined || message.errorDetail !== undefined) {
      this.#failure = message.errorDetail?.message ?? message.error ?? '';
      return '';
    }
    if (message.aux !== undefined && !Array.isArray(message.aux))
      this.#imageId = message.aux.ID ?? this.#imageId;
    if (message.stream !== undefined) return this.#read(message.stream.replace(ERROR_COLOUR, ''));
    // Bars that move are left out: what is shown here is read line by line.
    if (message.status === undefined || message.progress !== undefined) return '';
    return `${message.id === undefined ? '' : `${message.id}: `}${message.status}\n`;
  }

  /** What there would be left if it ended now. */
  get stages(): string[] {
    return this.#stages.filter(isMade);
  }

  /** undefined if the engine has not said how it ended. */
  result(): ImageBuildResult | undefined {
    if (this.#failure !== undefined) {
      const reason = this.#failure.trim() || 'no reason was given';
      return { outcome: 'failed', reason, step: this.#step ?? null, stages: this.stages };
    }
    if (this.#imageId === undefined) return undefined;
    // The last stage is the image itself.
    return { outcome: 'built', imageId: this.#imageId, stages: this.#stages.slice(0, -1).filter(isMade) };
  }

  #read(text: string): string {
    const [, number, total, instruction, keyword] = STEP.exec(text) ?? [];
    if (instruction !== undefined) {
      const own = Number(total) - this.#labelSteps;
      this.#inLabels = Number(number) > own;
      if (this.#inLabels) return '';
      this.#step = instruction.trim();
      if (keyword?.toUpperCase() === 'FROM') this.#stages.push(undefined);
      return text.replace(/\/\d+/, `/${own}`);
    }
    const built = BUILT.exec(text)?.[1];
    if (built !== undefined) {
      this.#imageId ??= built;
      return text;
    }
    const layer = LAYER.exec(text)?.[1];
    const isBase = this.#step?.toUpperCase().startsWith('FROM') === true && !this.#inLabels;
    // What FROM names is somebody's image, not made here.
    if (layer !== undefined && !isBase && this.#stages.length > 0)
      this.#stages[this.#stages.length - 1] = layer;
    return this.#inLabels ? '' : text;
  }
}

function isMade(stage: string | undefined): stage is string {
  return stage !== undefined;
}
