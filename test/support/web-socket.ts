import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import type { Socket } from 'node:net';

/** A client's WebSocket for short text messages (RFC 6455). */
export class TestWebSocket {
  /** Text messages received so far. */
  readonly messages: string[] = [];
  readonly #socket: Socket;
  #buffered: Buffer;

  private constructor(socket: Socket, head: Buffer) {
    this.#socket = socket;
    this.#buffered = head;
    socket.on('data', (chunk: Buffer) => {
      this.#buffered = Buffer.concat([this.#buffered, chunk]);
      this.#parse();
    });
    // 'close' follows, which `closed` tells of.
    socket.on('error', () => socket.destroy());
    socket.on('end', () => socket.end());
    this.#parse();
  }

  /** Rejects when the answer is another than 101. */
  static async open(port: number, host: string, path: string): Promise<TestWebSocket> {
    const request = http.get({
      host: '127.0.0.1',
      port,
      path,
      headers: {
        Host: `${host}:${port}`,
        Connection: 'Upgrade',
        Upgrade: 'websocket',
        'Sec-WebSocket-Version': '13',
        'Sec-WebSocket-Key': randomBytes(16).toString('base64'),
      },
    });
    request.on('response', (response) => request.destroy(new Error(`answered with ${response.statusCode}`)));
    const [, socket, head] = (await once(request, 'upgrade')) as [unknown, Socket, Buffer];
    return new TestWebSocket(socket, head);
  }

  get closed(): boolean {
    return this.#socket.destroyed;
  }

  send(text: string): void {
    const payload = Buffer.from(text);
    // Masked with zeros, which changes nothing of it.
    this.#socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | payload.length, 0, 0, 0, 0]), payload]));
  }

  close(): void {
    this.#socket.destroy();
  }

  #parse(): void {
    for (;;) {
      const length = (this.#buffered[1] ?? 0) & 0x7f;
      if (this.#buffered.length < 2 + length) return;
      this.messages.push(this.#buffered.subarray(2, 2 + length).toString('utf8'));
      this.#buffered = this.#buffered.subarray(2 + length);
    }
  }
}
