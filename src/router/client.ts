import type { TunnelSide } from './upgrade';

/**
 * The seam between a request's way through the router (exchange.ts) and the protocol that its client speaks. One
 * `ClientExchange` is one request and the way back to who sent it: an HTTP/1 message on a connection, or an HTTP/2
 * stream. Which headers belong to the connection, how bodies are framed and when a connection is closed or kept is the
 * protocol's own business and not seen here.
 */

export interface ClientHead {
  method: string;
  /** As it came: origin form, absolute form or `*`. */
  target: string;
  httpVersion: '1.0' | '1.1' | '2.0';
  /** Name, value, name, value, …: case, order and repetition as they came, bytes as Latin-1. */
  rawHeaders: readonly string[];
}

export interface ClientTls {
  version: 'tlsv1.2' | 'tlsv1.3';
  /** SNI; null when the client named none. */
  serverName: string | null;
  /** May requests for this host come on the connection? Not if its certificate is for others (RFC 9110 §15.5.20). */
  covers(hostname: string): boolean;
}

/** What a client does. After `onFinish` or `onAbort` nothing more is called. */
export interface ClientEvents {
  onBody(chunk: Buffer): void;
  onBodyEnd(rawTrailers: readonly string[]): void;
  /** The body is none that the protocol allows; no more of it comes. */
  onBodyBroken(): void;
  /** `write` had said false, now there is room again. */
  onDrain(): void;
  /** The whole answer is on its way. */
  onFinish(): void;
  /** The client is gone, or does not want the answer any more. */
  onAbort(): void;
}

export interface ClientExchange {
  readonly head: ClientHead;
  readonly remoteAddress: string | undefined;
  readonly localPort: number;
  readonly tls: ClientTls | null;
  /** A body follows the head, be it empty in the end. */
  readonly hasBody: boolean;
  /** The client asks for another protocol on this connection, and `takeOver` can grant it. */
  readonly upgradable: boolean;
  /** Nothing of the request is left to come. */
  readonly complete: boolean;
  /** The final answer has begun: no other one can be given. */
  readonly answering: boolean;
  /** More was written than the client takes at the moment. */
  readonly needsDrain: boolean;
  /** Head and body of the answer, interim ones and a tunnel's bytes included. */
  readonly bytesWritten: number;

  /** Once, first of all. No body comes before `resume`. */
  start(events: ClientEvents): void;
  resume(): void;
  pause(): void;
  /** 1xx but 101. Left out for a client whose protocol knows none (HTTP/1.0). */
  writeInterim(status: number, statusMessage: string, rawHeaders: readonly string[]): void;
  /** The connection is not to be used for more requests; to be said before `writeHead`. */
  closeAfterwards(): void;
  /** Held back until `write`, `end` or `flush`, so that a small answer is one packet. */
  writeHead(status: number, statusMessage: string, rawHeaders: readonly string[]): void;
  flush(): void;
  /** Of an answer that has no body (HEAD, 204, 304) nothing is sent. false: wait for `onDrain`. */
  write(chunk: Buffer): boolean;
  /** What is still to come of the request does not matter any more. */
  end(rawTrailers?: readonly string[]): void;
  /** Says 101 and hands over the bare connection; `bytesWritten` goes on counting. */
  takeOver(statusMessage: string, rawHeaders: readonly string[]): TunnelSide;
  /** Cuts the answer off, so that the client sees it was not all. */
  destroy(): void;
}
