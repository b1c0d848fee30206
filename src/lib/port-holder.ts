import { readdir, readFile, readlink } from 'node:fs/promises';
import { createServer } from 'node:net';

export interface PortHolder {
  pid: number;
  /** As started, shortened. */
  command: string;
}

const LISTEN = '0A';

/**
 * Which process listens on a TCP port of this machine, as far as this user may see: Linux's /proc names the socket,
 * and each process's descriptors say who has it. undefined where that can't be found out.
 */
export async function findPortHolder(port: number): Promise<PortHolder | undefined> {
  const inodes = await listeningInodes(port);
  if (inodes.size === 0) return undefined;
  for (const entry of await readdir('/proc').catch(() => [])) {
    if (!/^\d+$/.test(entry)) continue;
    // Processes of other users, and those that end meanwhile, can't be read: they are passed over.
    const descriptors = await readdir(`/proc/${entry}/fd`).catch(() => []);
    for (const descriptor of descriptors) {
      const target = await readlink(`/proc/${entry}/fd/${descriptor}`).catch(() => '');
      const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
      if (inode === undefined || !inodes.has(inode)) continue;
      const command = await readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => '');
      return { pid: Number(entry), command: command.split('\0').join(' ').trim().slice(0, 120) };
    }
  }
  return undefined;
}

/** The first port from `start` on that nothing listens on, looking at no more than 100. */
export async function nextFreePort(start: number): Promise<number | undefined> {
  for (let port = start; port < Math.min(start + 100, 65_536); port += 1) {
    if (await isFree(port)) return port;
  }
  return undefined;
}

/** Can this process listen on the port, on 127.0.0.1 and, where there is one, on ::1? */
export async function isFree(port: number): Promise<boolean> {
  return (await isFreeOn('127.0.0.1', port)) && (await isFreeOn('::1', port));
}

/** The same for one address; true for an address that this machine does not have. */
export function isFreeOn(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'EADDRINUSE'));
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

async function listeningInodes(port: number): Promise<Set<string>> {
  const wanted = port.toString(16).toUpperCase().padStart(4, '0');
  const inodes = new Set<string>();
  for (const file of ['/proc/net/tcp', '/proc/net/tcp6']) {
    const table = await readFile(file, 'utf8').catch(() => ''); // not Linux, or no IPv6
    for (const line of table.split('\n').slice(1)) {
      const columns = line.trim().split(/\s+/);
      if (columns[1]?.endsWith(`:${wanted}`) && columns[3] === LISTEN && columns[9] !== undefined) {
        inodes.add(columns[9]);
      }
    }
  }
  return inodes;
}
