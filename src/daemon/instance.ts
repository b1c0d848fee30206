import { readFileSync, readlinkSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { answers } from '../lib/private-socket';
import type { Paths } from './paths';

/** What a running daemon says of itself in its data folder, for `status`, `env` and `down`. */
export interface Instance {
  pid: number;
  /** In which `pid` has its meaning: a daemon in a container counts its processes apart. null where there are none. */
  pidNamespace: string | null;
  installationId: string;
  apiPort: number;
  routerHttpPort: number;
  routerHttpsPort: number;
  startedAt: string;
  version: string;
}

export function writeInstance(paths: Paths, instance: Instance): void {
  const temporary = `${paths.pid}.new`;
  writeFileSync(temporary, `${JSON.stringify(instance)}\n`);
  renameSync(temporary, paths.pid);
}

/** pid_namespaces(7); only Linux has them. */
export function ownPidNamespace(): string | null {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    // Another system, where all processes are in one.
    return null;
  }
}

export function removeInstance(paths: Paths): void {
  rmSync(paths.pid, { force: true });
}

/** The daemon that runs on this data folder, if one does: what its file says is only believed when it answers. */
export async function findInstance(paths: Paths): Promise<Instance | undefined> {
  let instance: Instance;
  try {
    instance = JSON.parse(readFileSync(paths.pid, 'utf8')) as Instance;
  } catch {
    // No file: no daemon was started here, or it ended in order. Half a file can't be: it is renamed into place.
    return undefined;
  }
  return (await answers(paths.lockSocket)) ? instance : undefined;
}
