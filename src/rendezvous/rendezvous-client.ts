import type { Readable } from 'node:stream';
import { PassThrough } from 'node:stream';
import type { Duplex } from 'node:stream';
import { EXIT_STATUS_MARKER } from '../domain/one-off';
import { sleep, type Clock } from '../lib/clock';
import type { ProcessClient } from '../platform/dynos/attachments';
import { EndOfInput } from './end-of-input';
import { ExitStatusMarker } from './exit-status-marker';

export interface RendezvousClientOptions {
  hasTerminal: boolean;
  reportsExitStatus: boolean;
  clock: Clock;
}

/** The client throws its first chunk away, whatever else is in it (contract, section 3.2, 3). */
const GREETING = 'rendezvous\r\n';
const AFTER_GREETING_MS = 20;
/** Heroku closes the connection of a dyno without input and output (Dev Center "One-Off Dynos", "Timeouts"). */
const IDLE_MS = 60 * 60_000;
/** The rest of a marker's line is written at once by the program that began it. */
const MARKER_REST_MS = 500;

/** One end of a rendezvous: what the CLI speaks, after it has said its secret, made of a process's bytes and back. */
export class RendezvousClient implements ProcessClient {
  readonly input: Readable;
  readonly #socket: Duplex;
  readonly #options: RendezvousClientOptions;
  readonly #gone = new AbortController();
  readonly #marker = new ExitStatusMarker();
  #greeted: Promise<void>;
  /** Writes happen one after the other, whoever asks for them. */
  #writing: Promise<void> = Promise.resolve();
  #cancelIdle: () => void = () => undefined;
  #cancelFlush: (() => void) | undefined;

  constructor(socket: Duplex, options: RendezvousClientOptions) {
    this.#socket = socket;
    this.#options = options;
    const input = options.hasTerminal ? new PassThrough() : new EndOfInput(options.clock);
    this.input = input;
    socket.on('close', () => {
      this.#gone.abort();
      this.#cancelIdle();
      this.#cancelFlush?.();
      input.destroy();
    });
    socket.on('data', () => this.#rest());
    // The connection's end is no end of input: it is a client that leaves.
    socket.on('end', () => socket.destroy());
    socket.pipe(input, { end: false });
    this.#rest();
    this.#greeted = this.#greet();
  }

  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  write(chunk: Buffer): Promise<void> {
    this.#rest();
    return this.#enqueue(async () => {
      this.#cancelFlush?.();
      this.#cancelFlush = undefined;
      for (const { bytes, apart } of this.#marker.push(chunk)) await this.#send(bytes, apart);
      if (this.#marker.isHolding) this.#flushLater();
    });
  }

  async finish(exitCode: number | null): Promise<void> {
    await this.#enqueue(async () => {
      this.#cancelFlush?.();
      await this.#send(this.#marker.flush(), true);
      // A command that ended its own shell (`exit 3`), or was killed with it, never came to report its status.
      if (this.#options.reportsExitStatus && !this.#marker.seen && exitCode !== null) {
        await this.#send(Buffer.from(`${EXIT_STATUS_MARKER} ${exitCode}\n`), true);
      }
    });
    if (this.gone.aborted) return;
    const closed = new Promise<void>((resolve) => {
      this.gone.addEventListener('abort', () => resolve(), { once: true });
    });
    this.#socket.end();
    await closed;
  }

  close(): void {
    this.#socket.destroy();
  }

  async #greet(): Promise<void> {
    await this.#put(Buffer.from(GREETING));
    await sleep(this.#options.clock, AFTER_GREETING_MS, this.gone).catch(() => undefined); // gone: nothing is sent
  }

  #enqueue(work: () => Promise<void>): Promise<void> {
    const done = this.#writing.then(() => this.#greeted).then(work);
    this.#writing = done;
    return done;
  }

  /** `apart`: not together with what is sent before or after, which a TLS record of its own sees to. */
  async #send(bytes: Buffer, apart: boolean): Promise<void> {
    if (bytes.length === 0) return;
    if (!apart) {
      // Ahead by what the socket is willing to keep, no more.
      if (this.#socket.writable && !this.#socket.write(bytes)) await this.#drained();
      return;
    }
    await this.#put(Buffer.alloc(0));
    await this.#put(bytes);
  }

  /** Resolves once these bytes, and all before them, have been handed to the kernel, or the client has gone. */
  #put(bytes: Buffer): Promise<void> {
    return new Promise((resolve) => {
      if (!this.#socket.writable) {
        resolve();
        return;
      }
      // A failed write closes the socket, which is where it is noticed.
      this.#socket.write(bytes, () => resolve());
    });
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#socket.off('drain', done);
        this.#socket.off('close', done);
        resolve();
      };
      this.#socket.on('drain', done);
      this.#socket.on('close', done);
      if (this.#socket.destroyed) done();
    });
  }

  #flushLater(): void {
    this.#cancelFlush = this.#options.clock.after(MARKER_REST_MS, () => {
      this.#cancelFlush = undefined;
      void this.#enqueue(() => this.#send(this.#marker.flush(), true));
    });
  }

  /** There was input or output: the hour begins anew. */
  #rest(): void {
    this.#cancelIdle();
    if (this.gone.aborted) return;
    this.#cancelIdle = this.#options.clock.after(IDLE_MS, () => this.close());
  }
}
