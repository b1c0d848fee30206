import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { ClientTls } from './client';
import { hostnameOf } from './route-table';

/** What is known of the TLS of a client's connection; null without any. */
export function clientTlsOf(socket: Socket): ClientTls | null {
  if (!(socket instanceof TLSSocket)) return null;
  // Node's types leave it out: what the client named by SNI, false for nothing.
  const { servername } = socket as TLSSocket & { servername?: string | false };
  const serverName = typeof servername === 'string' && servername !== '' ? servername : null;
  return {
    version: socket.getProtocol() === 'TLSv1.2' ? 'tlsv1.2' : 'tlsv1.3',
    serverName,
    covers: (hostname) =>
      // One who names no host, e.g. because it was given an address, has made no mistake.
      serverName === null ||
      // The common case, and right also where the client takes whatever certificate it gets.
      hostnameOf(serverName) === hostname ||
      socket.getX509Certificate()?.checkHost(hostname) !== undefined,
  };
}
