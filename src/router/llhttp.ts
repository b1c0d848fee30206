import wasmBytes from 'undici/lib/llhttp/llhttp-wasm.js';

/**
 * llhttp, the HTTP/1 parser of Node itself, as undici's WebAssembly build of it: no internals of Node are needed, so
 * all of its versions parse alike, and unlike Node's own binding it can stop at each message's end. It decides what is
 * well-formed and how a message is framed; all its lenient modes stay off. See docs/adr/0018-http-engine.md.
 *
 * Everything is synchronous: spans are noted while llhttp runs, and acted upon when it has returned.
 */

export type MessageKind = 'request' | 'response';

/** Numbers of llhttp's C interface. */
const TYPE = { request: 1, response: 2 } as const;
const OK = 0;
const SKIP_BODY = 1;
const PAUSED = 21;
const PAUSED_UPGRADE = 22;

/** Input is copied into llhttp's memory, at most so much at a time. */
export const WINDOW = 64 * 1024;

interface Llhttp {
  memory: WebAssembly.Memory;
  malloc(size: number): number;
  llhttp_alloc(type: number): number;
  llhttp_free(parser: number): void;
  llhttp_reset(parser: number): void;
  llhttp_resume(parser: number): void;
  llhttp_execute(parser: number, at: number, length: number): number;
  llhttp_get_http_major(parser: number): number;
  llhttp_get_http_minor(parser: number): number;
  llhttp_get_error_pos(parser: number): number;
  llhttp_errno_name(code: number): number;
}

/** What a parser notes while llhttp runs; `from` and `to` are offsets into the input. */
export interface Notes {
  onUrl(from: number, to: number): void;
  onStatus(from: number, to: number): void;
  onName(from: number, to: number): void;
  onValue(from: number, to: number): void;
  /** The head is complete: whether llhttp is to go on with a body. */
  onHead(status: number, upgrade: boolean, keepAlive: boolean): 'body by llhttp' | 'no body';
  onBody(from: number, to: number): void;
}

export type Step =
  /** All input is used up. */
  | 'more'
  /** Stopped behind the head; call again for the body. */
  | 'head'
  /** Stopped behind the message. */
  | 'complete'
  | 'error';

// One at a time: llhttp calls back only while it runs.
let notes: Notes;
let stopped = 'more' as Step;

/** A position in llhttp's memory as an offset into the input. */
let origin = 0;

const llhttp = new WebAssembly.Instance(new WebAssembly.Module(wasmBytes), {
  env: {
    wasm_on_message_begin: () => OK,
    wasm_on_url: (_parser: number, at: number, length: number) => {
      notes.onUrl(at - origin, at - origin + length);
      return OK;
    },
    wasm_on_status: (_parser: number, at: number, length: number) => {
      notes.onStatus(at - origin, at - origin + length);
      return OK;
    },
    wasm_on_header_field: (_parser: number, at: number, length: number) => {
      notes.onName(at - origin, at - origin + length);
      return OK;
    },
    wasm_on_header_value: (_parser: number, at: number, length: number) => {
      notes.onValue(at - origin, at - origin + length);
      return OK;
    },
    wasm_on_headers_complete: (_parser: number, status: number, upgrade: number, keepAlive: number) => {
      if (notes.onHead(status, upgrade !== 0, keepAlive !== 0) === 'no body') return SKIP_BODY;
      stopped = 'head';
      return PAUSED;
    },
    wasm_on_body: (_parser: number, at: number, length: number) => {
      notes.onBody(at - origin, at - origin + length);
      return OK;
    },
    wasm_on_message_complete: () => {
      stopped = 'complete';
      return PAUSED;
    },
  },
}).exports as Llhttp;

const inputPointer = llhttp.malloc(WINDOW);
let memory = new Uint8Array(llhttp.memory.buffer);

/** One llhttp parser. It lives in WebAssembly's memory, so it has to be freed. */
export class LlhttpParser {
  /** Where in the input the last `execute` stopped. */
  position = 0;
  /** llhttp's name of the last error, such as `HPE_INVALID_CHUNK_SIZE`. */
  errorName = '';
  #pointer: number;
  #paused = false;

  constructor(kind: MessageKind) {
    this.#pointer = llhttp.llhttp_alloc(TYPE[kind]);
  }

  /** Parses `input` from `from` to the next stop, or to `to`, which is at most WINDOW away. */
  execute(input: Buffer, from: number, to: number, caller: Notes): Step {
    if (this.#pointer === 0) throw new Error('the parser is freed');
    this.#resume();
    // Memory that has grown has a new buffer.
    if (memory.byteLength === 0) memory = new Uint8Array(llhttp.memory.buffer);
    memory.set(from === 0 && to === input.length ? input : input.subarray(from, to), inputPointer);
    notes = caller;
    origin = inputPointer - from;
    stopped = 'more';
    const code = llhttp.llhttp_execute(this.#pointer, inputPointer, to - from);
    if (code === OK) {
      this.position = to;
      return 'more';
    }
    this.position = llhttp.llhttp_get_error_pos(this.#pointer) - origin;
    const step = whereStopped();
    if ((code === PAUSED || code === PAUSED_UPGRADE) && step !== 'more') {
      this.#paused = true;
      return step;
    }
    this.errorName = textAt(llhttp.llhttp_errno_name(code));
    return 'error';
  }

  /** Forgets the message it is in. */
  reset(): void {
    if (this.#pointer === 0) throw new Error('the parser is freed');
    llhttp.llhttp_reset(this.#pointer);
    this.#paused = false;
  }

  get versionMajor(): number {
    return llhttp.llhttp_get_http_major(this.#pointer);
  }

  get versionMinor(): number {
    return llhttp.llhttp_get_http_minor(this.#pointer);
  }

  /** Nothing else may be called afterwards. */
  free(): void {
    if (this.#pointer !== 0) llhttp.llhttp_free(this.#pointer);
    this.#pointer = 0;
  }

  #resume(): void {
    if (this.#paused) llhttp.llhttp_resume(this.#pointer);
    this.#paused = false;
  }
}

/** The callbacks have set it meanwhile, which the compiler cannot see. */
function whereStopped(): Step {
  return stopped;
}

function textAt(pointer: number): string {
  const bytes = new Uint8Array(llhttp.memory.buffer);
  return Buffer.from(bytes.subarray(pointer, bytes.indexOf(0, pointer))).toString('latin1');
}
