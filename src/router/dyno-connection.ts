import type { Socket } from 'node:net';
import { Deadline } from './deadlines';
import type { RoutableDyno } from './gate';
import { MessageParser } from './message-parser';

/** The whole head of an answer: fits twice its longest line (Dev Center "HTTP Routing", "Response limits"). */
const MAX_RESPONSE_HEAD = 1024 * 1024;

/** Who has the connection at the moment. */
export interface DynoConnectionUser {
  onData(chunk: Buffer): void;
  /** The dyno has ended its side. */
  onEnd(): void;
  onDrain(): void;
  /** Lost, with what was on its way. */
  onClose(): void;
}

/** A connection to a dyno, for one request at a time. Without a user it is idle, and closes when anything comes. */
export class DynoConnection {
  dyno: RoutableDyno;
  /** A dyno that comes back at another address is another one to connect to. */
  readonly key: string;
  readonly socket: Socket;
  connectMs: number;
  /** It has carried a request before, so the dyno may just be closing it. */
  reused = false;
  user: DynoConnectionUser | null = null;
  readonly parser = new MessageParser('response', MAX_RESPONSE_HEAD);
  /** While idle. */
  readonly deadline: Deadline;
  onIdleOver: ((connection: DynoConnection) => void) | null = null;

  readonly #onData = (chunk: Buffer): void => {
    if (this.user === null) this.#drop();
    else this.user.onData(chunk);
  };
  readonly #onEnd = (): void => {
    if (this.user === null) this.#drop();
    else this.user.onEnd();
  };
  readonly #onDrain = (): void => this.user?.onDrain();

  constructor(dyno: RoutableDyno, key: string, socket: Socket, connectMs: number) {
    this.dyno = dyno;
    this.key = key;
    this.socket = socket;
    this.connectMs = connectMs;
    this.deadline = new Deadline(() => this.#drop());
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    socket.on('drain', this.#onDrain);
    // 'close' follows; without a listener Node would end the process.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      const { user } = this;
      this.#drop();
      this.user = null;
      this.parser.free();
      user?.onClose();
    });
  }

  /** For a tunnel: nothing of what comes is read here any more. */
  handOver(): Socket {
    this.user = null;
    this.socket.off('data', this.#onData);
    this.socket.off('end', this.#onEnd);
    this.socket.off('drain', this.#onDrain);
    return this.socket;
  }

  /** Whatever a dyno says unasked is part of no answer; its end only means a new connection next time. */
  #drop(): void {
    this.deadline.clear();
    this.onIdleOver?.(this);
    this.onIdleOver = null;
    this.socket.destroy();
  }
}
