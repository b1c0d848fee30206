import { access, constants } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { PassThrough, type Readable } from 'node:stream';
import { killGroup, run, spawnGroup } from '../lib/process';

/** What building images needs from the host's own programs. */
export interface HostTools {
  /** Fetches one npm package into `directory` with the user's own npm settings; answers the .tgz file's path. */
  fetchPackage(specifier: string, directory: string, signal: AbortSignal): Promise<string>;
  /** The package registry that the host's npm uses. */
  npmRegistry(signal: AbortSignal): Promise<string>;
  /**
   * Makes the root file system of a minimal Debian 12 and answers it as a tar stream, which fails when the program
   * does. Rejects with HostToolError, which says what to do, where this host cannot.
   */
  debianRootFileSystem(options: RootFileSystemOptions): Promise<Readable>;
}

export interface RootFileSystemOptions {
  architecture: Architecture;
  signal: AbortSignal;
  onProgress: (line: string) => void;
}

/** In Node's words. */
export type Architecture = 'x64' | 'arm64';

export class HostToolError extends Error {
  override readonly name = 'HostToolError';
}

const FETCH_TIMEOUT_MS = 5 * 60_000;
const ROOT_FILE_SYSTEM_TIMEOUT_MS = 10 * 60_000;

const DEBIAN_ARCHITECTURE: Readonly<Record<Architecture, string>> = { x64: 'amd64', arm64: 'arm64' };

export function createHostTools(options: { searchPath: string }): HostTools {
  return {
    async fetchPackage(specifier, directory, signal) {
      // npm checks what it fetched against the registry's integrity value.
      const { stdout } = await run(
        'npm',
        ['pack', specifier, '--json', '--loglevel', 'error', '--pack-destination', directory],
        { cwd: directory, timeoutMs: FETCH_TIMEOUT_MS, signal },
      );
      return path.join(directory, packedFileName(stdout));
    },

    async npmRegistry(signal) {
      const { stdout } = await run('npm', ['config', 'get', 'registry', '--loglevel', 'error'], {
        timeoutMs: 30_000,
        signal,
      });
      return stdout.trim();
    },

    async debianRootFileSystem({ architecture, signal, onProgress }) {
      await requireMmdebstrap(options.searchPath, architecture);
      return streamMmdebstrap(architecture, signal, onProgress);
    },
  };
}

/** npm prints a list with one entry per package; from npm 12 on an object by package name. */
function packedFileName(json: string): string {
  const parsed: unknown = JSON.parse(json);
  const entries: unknown[] = Object.values(parsed as object);
  const first = entries[0];
  if (typeof first === 'object' && first !== null && 'filename' in first) {
    // Older versions of npm report a scoped name's slash here, while the file on disk has a dash.
    if (typeof first.filename === 'string') return first.filename.replace(/^@/, '').replace('/', '-');
  }
  throw new HostToolError('npm pack did not say which file it wrote');
}

async function requireMmdebstrap(searchPath: string, architecture: Architecture): Promise<void> {
  const remedy =
    'Either load or pull the image debian:bookworm-slim into the container engine, or install mmdebstrap on a ' +
    'Debian or Ubuntu host (apt-get install mmdebstrap debian-archive-keyring) and start once as root.';
  if (process.platform !== 'linux' || process.getuid?.() !== 0) {
    throw new HostToolError(
      `There is no debian:bookworm-slim, and only root on Linux can make it anew. ${remedy}`,
    );
  }
  if (process.arch !== architecture) {
    throw new HostToolError(
      `There is no debian:bookworm-slim, and this ${process.arch} host cannot make it for ${architecture}. ${remedy}`,
    );
  }
  if (!(await isOnPath('mmdebstrap', searchPath))) {
    throw new HostToolError(
      `There is neither debian:bookworm-slim nor mmdebstrap, which makes it. ${remedy}`,
    );
  }
}

async function isOnPath(program: string, searchPath: string): Promise<boolean> {
  for (const directory of searchPath.split(path.delimiter)) {
    try {
      await access(path.join(directory, program), constants.X_OK);
      return true;
    } catch {
      // Not in this one: only the end of the list means that it is missing.
    }
  }
  return false;
}

function streamMmdebstrap(
  architecture: Architecture,
  signal: AbortSignal,
  onProgress: (line: string) => void,
): Readable {
  const child = spawnGroup(
    'mmdebstrap',
    [
      '--variant=minbase',
      '--include=ca-certificates',
      `--architectures=${DEBIAN_ARCHITECTURE[architecture]}`,
      // The result is thrown away on failure, so files need not be synced; manuals and translations are not wanted.
      '--dpkgopt=force-unsafe-io',
      '--dpkgopt=path-exclude=/usr/share/man/*',
      '--dpkgopt=path-exclude=/usr/share/info/*',
      '--dpkgopt=path-exclude=/usr/share/locale/*',
      '--dpkgopt=path-exclude=/usr/share/doc/*',
      '--dpkgopt=path-include=/usr/share/doc/*/copyright',
      'bookworm',
      '-',
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const output = new PassThrough();
  const complaints: string[] = [];
  // mmdebstrap removes its temporary root file system on SIGTERM.
  const end = (): void => killGroup(child, 'SIGTERM');
  const timer = setTimeout(end, ROOT_FILE_SYSTEM_TIMEOUT_MS);
  signal.addEventListener('abort', end, { once: true });
  const settle = (): void => {
    clearTimeout(timer);
    signal.removeEventListener('abort', end);
  };
  // Whoever reads may go away: without a reader the child would wait for ever on a full pipe.
  output.once('close', end);
  if (child.stderr) {
    createInterface({ input: child.stderr }).on('line', (line) => {
      // The rest are progress bars.
      if (/^[IWE]: /.test(line)) onProgress(line.slice(3));
      if (/^[WE]: /.test(line)) complaints.push(line.slice(3));
    });
  }
  child.once('error', (cause) => {
    settle();
    output.destroy(new HostToolError('mmdebstrap could not be started', { cause }));
  });
  // The end of its output says nothing yet: only status 0 makes the stream end well.
  child.stdout?.pipe(output, { end: false });
  child.once('close', (code) => {
    settle();
    if (code === 0) output.end();
    else if (signal.aborted) output.destroy(new HostToolError('mmdebstrap was called off'));
    else {
      const why = complaints.slice(-5).join('; ');
      output.destroy(new HostToolError(`mmdebstrap ended with status ${code ?? 'none'}: ${why}`));
    }
  });
  if (signal.aborted) end();
  return output;
}
