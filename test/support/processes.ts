import { readdirSync, readFileSync } from 'node:fs';

/** A process of an installation: its daemon, its router or a command. */
export interface InstallationProcess {
  pid: number;
  args: string[];
}

/** Those with this data folder in their environment. */
export function processesOf(dataDir: string): InstallationProcess[] {
  return readdirSync('/proc').flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return [];
    try {
      const environment = readFileSync(`/proc/${entry}/environ`, 'utf8');
      if (!environment.includes(`DYNODOCK_HOME=${dataDir}\0`)) return [];
      const args = readFileSync(`/proc/${entry}/cmdline`, 'utf8')
        .split('\0')
        .filter((arg) => arg !== '');
      // None: it has ended, and only waits for its parent to take note.
      return args.length === 0 ? [] : [{ pid: Number(entry), args }];
    } catch {
      return []; // It has ended meanwhile.
    }
  });
}
