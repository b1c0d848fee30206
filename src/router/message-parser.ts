import { LlhttpParser, WINDOW, type MessageKind, type Notes, type Step } from './llhttp';

/** A head is read by this much at a time; most are smaller, and a body behind it need not be copied. */
const HEAD_WINDOW = 4096;

/** What may come between two bytes of a chunked body, or behind the last: chunk extensions, trailers. Node's limit. */
const MAX_OVERHEAD_BYTES = 16 * 1024;

/** What is wrong with a message. `length`: its Content-Length. `size`: its head or trailers. */
export type MessageFault = 'malformed' | 'length' | 'size';

export interface MessageHandler {
  onHead(): void;
  onBody(chunk: Buffer): void;
  onComplete(rawTrailers: readonly string[]): void;
}

type State = 'head' | 'counted' | 'chunked' | 'until the end' | 'complete' | 'broken';

const NONE: readonly string[] = [];

/**
 * Reads one HTTP/1 message after another. llhttp judges heads, framing and chunks; bytes of a body with a length, or of
 * one that ends with its connection, are only counted, since there is nothing to judge about them.
 */
export class MessageParser implements Notes {
  // The head, valid from `onHead` to `next`.
  target = '';
  status = 0;
  statusMessage = '';
  rawHeaders: string[] = [];
  versionMinor = 1;
  versionMajor = 1;
  keepAlive = false;
  /** The message asks for another protocol, or says that it changes to it. */
  upgrade = false;
  /** A body follows; it may still be empty. */
  hasBody = false;

  fault: MessageFault | null = null;
  /** Set by whoever reads answers: this one is to a HEAD request. */
  withoutBody = false;

  readonly #kind: MessageKind;
  readonly #llhttp: LlhttpParser;
  readonly #maxHeadBytes: number;
  #state: State = 'head';
  #headBytes = 0;
  #headDone = false;
  #left = 0;
  /** As far as read; null once judged. */
  #firstLine: string | null = '';
  #trailers: string[] | null = null;
  #overheadBytes = 0;

  // Of the window that llhttp is reading.
  #input: Buffer = Buffer.alloc(0);
  #from = 0;
  #to = 0;
  #text = '';
  #last: 'target' | 'status' | 'name' | 'value' | 'none' = 'none';
  #spans: number[] = [];

  constructor(kind: MessageKind, maxHeadBytes: number) {
    this.#kind = kind;
    this.#llhttp = new LlhttpParser(kind);
    this.#maxHeadBytes = maxHeadBytes;
  }

  /** Reads on, up to the end of the head or of the message, and says how far it came; -1: see `fault`. */
  feed(chunk: Buffer, at: number, handler: MessageHandler): number {
    switch (this.#state) {
      case 'head':
        return this.#feedHead(chunk, at, handler);
      case 'counted': {
        const end = Math.min(chunk.length, at + this.#left);
        this.#left -= end - at;
        if (this.#left === 0) this.#state = 'complete';
        handler.onBody(part(chunk, at, end));
        if (this.#left === 0) handler.onComplete(NONE);
        return end;
      }
      case 'until the end':
        handler.onBody(part(chunk, at, chunk.length));
        return chunk.length;
      case 'chunked':
        return this.#feedChunks(chunk, at, handler);
      case 'complete':
        return at;
      case 'broken':
        return -1;
    }
  }

  /** The input has ended. false: in the middle of a message. */
  finish(handler: MessageHandler): boolean {
    switch (this.#state) {
      case 'head':
        return this.#headBytes === 0;
      case 'complete':
        return true;
      case 'until the end':
        this.#state = 'complete';
        handler.onComplete(NONE);
        return true;
      case 'counted':
      case 'chunked':
      case 'broken':
        return false;
    }
  }

  /** Makes ready for the next message. */
  next(): void {
    this.#llhttp.reset();
    this.#state = 'head';
    this.#headBytes = 0;
    this.#headDone = false;
    this.#firstLine = '';
    this.#trailers = null;
    this.#overheadBytes = 0;
    this.#last = 'none';
    this.target = '';
    this.statusMessage = '';
    this.rawHeaders = [];
    this.hasBody = false;
    this.fault = null;
  }

  free(): void {
    this.#state = 'broken';
    this.#llhttp.free();
  }

  #feedHead(chunk: Buffer, from: number, handler: MessageHandler): number {
    let at = from;
    while (at < chunk.length) {
      const step = this.#run(chunk, at, Math.min(chunk.length, at + HEAD_WINDOW));
      const end = this.#llhttp.position;
      if (this.#kind === 'request' && !this.#isHttp(at, end)) this.fault = 'malformed';
      this.#headBytes += end - at;
      at = end;
      if (step === 'error') return this.#broken(this.#faultOf());
      if (this.fault !== null) return this.#broken(this.fault);
      if (this.#headBytes > this.#maxHeadBytes) return this.#broken('size');
      if (step === 'more') continue;
      handler.onHead();
      // With no body llhttp is through with the message. The state says if the handler had enough of it.
      if (this.#state === 'complete') handler.onComplete(NONE);
      return at;
    }
    return at;
  }

  #feedChunks(chunk: Buffer, from: number, handler: MessageHandler): number {
    let at = from;
    while (at < chunk.length) {
      const spans = (this.#spans = [] as number[]);
      const step = this.#run(chunk, at, Math.min(chunk.length, at + WINDOW));
      let read = at;
      at = this.#llhttp.position;
      if (step === 'complete') this.#state = 'complete';
      for (let i = 0; i + 1 < spans.length; i += 2) {
        const [start, end] = [spans[i] as number, spans[i + 1] as number];
        this.#overheadBytes += start - read;
        if (this.#overheadBytes > MAX_OVERHEAD_BYTES) return this.#broken('size');
        this.#overheadBytes = 0;
        handler.onBody(part(chunk, start, end));
        read = end;
      }
      if (step === 'error') return this.#broken(this.#faultOf());
      this.#overheadBytes += at - read;
      if (this.#overheadBytes > MAX_OVERHEAD_BYTES) return this.#broken('size');
      if (step === 'more') continue;
      trimValues(this.#trailers ?? []);
      handler.onComplete(this.#trailers ?? NONE);
      return at;
    }
    return at;
  }

  #run(chunk: Buffer, from: number, to: number): Step {
    this.#input = chunk;
    this.#from = from;
    this.#to = to;
    this.#text = '';
    return this.#llhttp.execute(chunk, from, to, this);
  }

  /** llhttp does not mind another protocol's name before the version. */
  #isHttp(from: number, to: number): boolean {
    if (this.#firstLine === null) return true;
    const line = this.#firstLine + this.#textOf(from, to);
    const end = line.indexOf('\r\n');
    this.#firstLine = end === -1 ? line : null;
    return end === -1 || line.startsWith('HTTP/', end - 'HTTP/1.1'.length);
  }

  #faultOf(): MessageFault {
    const name = this.#llhttp.errorName;
    return name === 'HPE_INVALID_CONTENT_LENGTH' || name === 'HPE_UNEXPECTED_CONTENT_LENGTH'
      ? 'length'
      : 'malformed';
  }

  #broken(fault: MessageFault): -1 {
    this.#state = 'broken';
    this.fault = fault;
    return -1;
  }

  /** Latin-1, decoded once per window: cutting pieces out of a string is cheap. */
  #textOf(from: number, to: number): string {
    if (this.#text === '') this.#text = this.#input.toString('latin1', this.#from, this.#to);
    return this.#text.substring(from - this.#from, to - this.#from);
  }

  onUrl(from: number, to: number): void {
    this.target += this.#textOf(from, to);
  }

  onStatus(from: number, to: number): void {
    this.statusMessage += this.#textOf(from, to);
  }

  onName(from: number, to: number): void {
    this.#note('name', from, to);
  }

  onValue(from: number, to: number): void {
    this.#note('value', from, to);
  }

  #note(what: 'name' | 'value', from: number, to: number): void {
    const text = this.#textOf(from, to);
    const fields = this.#headDone ? (this.#trailers ??= []) : this.rawHeaders;
    // One that began in the window before goes on.
    if (this.#last === what) fields.push((fields.pop() ?? '') + text);
    else fields.push(text);
    this.#last = what;
  }

  onHead(status: number, upgrade: boolean, keepAlive: boolean): 'body by llhttp' | 'no body' {
    this.status = status;
    this.upgrade = upgrade;
    this.keepAlive = keepAlive;
    this.versionMajor = this.#llhttp.versionMajor;
    this.versionMinor = this.#llhttp.versionMinor;
    this.#headDone = true;
    this.#last = 'none';
    trimValues(this.rawHeaders);
    this.#frame();
    if (this.versionMajor !== 1 || this.versionMinor > 1) this.fault = 'malformed';
    return this.#state === 'chunked' ? 'body by llhttp' : 'no body';
  }

  onBody(from: number, to: number): void {
    this.#spans.push(from, to);
  }

  /** How the body is framed (RFC 9112 §6.3), from what llhttp has found valid. */
  #frame(): void {
    const headers = this.rawHeaders;
    let coding: string | null = null;
    let length: number | null = null;
    for (let i = 0; i + 1 < headers.length; i += 2) {
      const name = headers[i] as string;
      if (name.length === 14 && name.toLowerCase() === 'content-length') length = Number(headers[i + 1]);
      else if (name.length === 17 && name.toLowerCase() === 'transfer-encoding') {
        coding = coding === null ? (headers[i + 1] as string) : `${coding}, ${headers[i + 1] as string}`;
      }
    }
    this.#state = 'complete';
    if (coding !== null && coding.toLowerCase() !== 'chunked') {
      // The router undoes the chunks, and could then not say any more what else was done to the body.
      this.fault = 'malformed';
    } else if (coding !== null && this.#kind === 'request' && this.versionMinor === 0) {
      // HTTP/1.0 knows no chunks: who sends them means something else by them (RFC 9112 §6.1).
      this.fault = 'malformed';
    } else if (length !== null && !Number.isSafeInteger(length)) this.fault = 'length';
    if (this.#kind === 'response' && (this.withoutBody || isBodiless(this.status))) return;
    if (coding !== null) this.#state = 'chunked';
    else if (length !== null) {
      this.#left = length;
      if (length > 0) this.#state = 'counted';
    } else if (this.#kind === 'response') this.#state = 'until the end';
    this.hasBody = this.#state !== 'complete';
  }
}

/** RFC 9110 §6.4.1. */
export function isBodiless(status: number): boolean {
  return status < 200 || status === 204 || status === 304;
}

function part(chunk: Buffer, from: number, to: number): Buffer {
  return from === 0 && to === chunk.length ? chunk : chunk.subarray(from, to);
}

/** llhttp leaves the white space behind a value (RFC 9112 §5: it is no part of it). */
function trimValues(fields: string[]): void {
  for (let i = 1; i < fields.length; i += 2) {
    const value = fields[i] as string;
    const last = value.charCodeAt(value.length - 1);
    if (last === 0x20 || last === 0x09) fields[i] = value.replace(/[ \t]+$/, '');
  }
}
