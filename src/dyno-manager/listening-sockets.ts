/** A TCP socket that waits for connections, as /proc/net/tcp shows it. */
export interface ListeningSocket {
  address: string;
  port: number;
}

const LISTEN = '0A';

/** Reads the text of /proc/net/tcp and /proc/net/tcp6 (proc(5)): addresses in hex, 32-bit words in host order. */
export function parseListeningSockets(text: string): ListeningSocket[] {
  return text.split('\n').flatMap((line) => {
    const columns = line.trim().split(/\s+/);
    const match = /^([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4})$/.exec(columns[1] ?? '');
    if (match === null || columns[3] !== LISTEN) return [];
    return [{ address: toAddress(match[1] ?? ''), port: parseInt(match[2] ?? '', 16) }];
  });
}

const ESTABLISHED = '01';

/** How many others are connected to one of these ports, by the same text. */
export function countClients(text: string, ports: readonly number[]): number {
  return text.split('\n').filter((line) => {
    const [, local = '', remote = '', state] = line.trim().split(/\s+/);
    const [port, from] = [parseInt(local.split(':')[1] ?? '', 16), remote.split(':')[0] ?? ''];
    return state === ESTABLISHED && ports.includes(port) && !isLoopback(toAddress(from));
  }).length;
}

/**
 * Why a web dyno that does listen somewhere did not become up, in a sentence for its log; undefined if it listens
 * nowhere. Loopback and a fixed port are what newcomers get wrong most.
 */
export function explainUnreachable(sockets: readonly ListeningSocket[], port: number): string | undefined {
  const onPort = sockets.find((socket) => socket.port === port);
  if (onPort !== undefined && isLoopback(onPort.address)) {
    return `The process listens on ${onPort.address}:${port}, where only it can reach itself. Bind to 0.0.0.0 instead.`;
  }
  const [other] = sockets.filter((socket) => !isLoopback(socket.address));
  const [any] = sockets;
  const found = other ?? any;
  if (found === undefined || onPort !== undefined) return undefined;
  return `The process listens on port ${found.port}, but not on $PORT (${port}). Use the PORT environment variable.`;
}

function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '::1';
}

function toAddress(hex: string): string {
  const words = hex.match(/.{8}/g) ?? [];
  const bytes = words.flatMap((word) =>
    (word.match(/../g) ?? []).reverse().map((byte) => parseInt(byte, 16)),
  );
  if (bytes.length === 4) return bytes.join('.');
  if (bytes.every((byte) => byte === 0)) return '::';
  if (bytes.slice(0, 15).every((byte) => byte === 0) && bytes[15] === 1) return '::1';
  if (bytes.slice(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff) return bytes.slice(12).join('.');
  const groups = Array.from(
    { length: 8 },
    (_, index) => ((bytes[2 * index] ?? 0) << 8) | (bytes[2 * index + 1] ?? 0),
  );
  return groups.map((group) => group.toString(16)).join(':');
}
