import { GIT_OPTIONS, gitEnvironment } from '../lib/git';
import { killGroup, run, spawnGroup } from '../lib/process';

/** A repository that another one has in a folder, at a commit. */
export interface Submodule {
  /** Its folder. */
  path: string;
  /** As .gitmodules has it, with whatever secrets are in it. */
  url: string;
  commit: string;
}

const TIMEOUT_MS = 60_000;

/** Those that a commit's .gitmodules names and its tree has (gitmodules(5)). `environment`: where git finds objects. */
export async function listSubmodules(
  repositoryDir: string,
  commit: string,
  environment: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<Submodule[]> {
  const options = { env: gitEnvironment(environment), timeoutMs: TIMEOUT_MS, signal };
  const git = async (...args: string[]): Promise<string> =>
    (await run('git', [...GIT_OPTIONS, '-C', repositoryDir, ...args], options)).stdout;
  const file = await git('ls-tree', '-z', commit, '--', '.gitmodules');
  // A symbolic link is not followed, by git neither.
  if (!/^100\d{3} blob /.test(file)) return [];
  const modules = new Map<string, { path?: string; url?: string }>();
  for (const entry of (await git('config', '--blob', `${commit}:.gitmodules`, '--null', '--list')).split(
    '\0',
  )) {
    const [, name, key, value] = /^submodule\.(.*)\.(path|url)\n(.*)$/s.exec(entry) ?? [];
    if (name === undefined || key === undefined || value === undefined) continue;
    modules.set(name, { ...modules.get(name), [key]: value });
  }
  if (modules.size === 0) return [];
  const commits = await gitlinks(repositoryDir, commit, environment, signal);
  return [...modules.values()].flatMap(({ path, url }) => {
    const wanted = path === undefined ? undefined : commits.get(path);
    if (path === undefined || url === undefined || wanted === undefined) return [];
    return path.split('/').some((part) => part === '..' || part === '.git')
      ? []
      : [{ path, url, commit: wanted }];
  });
}

/** Path → commit. Read as it comes, because trees may have any number of files. */
async function gitlinks(
  repositoryDir: string,
  commit: string,
  environment: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<Map<string, string>> {
  const args = [...GIT_OPTIONS, '-C', repositoryDir, 'ls-tree', '-r', '-z', '--full-tree', commit];
  const child = spawnGroup('git', args, {
    env: gitEnvironment(environment),
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const end = (): void => killGroup(child, 'SIGKILL');
  signal.addEventListener('abort', end, { once: true });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code));
  });
  // Awaited below, after the stream; until then its failure is not an unhandled one.
  ended.catch(() => undefined);
  try {
    const found = new Map<string, string>();
    let rest = Buffer.alloc(0);
    for await (const chunk of child.stdout ?? []) {
      rest = Buffer.concat([rest, chunk as Buffer]);
      for (let zero = rest.indexOf(0); zero !== -1; zero = rest.indexOf(0)) {
        const [, id, path] = /^160000 commit ([0-9a-f]+)\t(.*)$/s.exec(rest.toString('utf8', 0, zero)) ?? [];
        if (id !== undefined && path !== undefined) found.set(path, id);
        rest = rest.subarray(zero + 1);
      }
    }
    const code = await ended;
    signal.throwIfAborted();
    if (code !== 0) throw new Error(`git ls-tree exited with status ${code}`);
    return found;
  } finally {
    signal.removeEventListener('abort', end);
    end();
  }
}

/**
 * Where a submodule is fetched from, and its credentials; undefined for what is not fetched from anywhere: another
 * protocol, a folder of this machine (unless `parent` is one), or a relative one without `parent`, the URL of the repository that names it.
 */
export function resolveSubmoduleUrl(
  text: string,
  parent: string | undefined,
): { url: string; credentials: string | undefined } | undefined {
  const isRelative = /^\.\.?\//.test(text);
  if (isRelative && parent === undefined) return undefined;
  const base = isRelative ? `${(parent ?? '').replace(/\/+$/, '')}/` : undefined;
  if (!URL.canParse(text, base)) return undefined;
  const url = new URL(text, base);
  const isLocal = url.protocol === 'file:' && parent?.startsWith('file:') === true;
  if (!isLocal && !['http:', 'https:', 'git:'].includes(url.protocol)) return undefined;
  const { username, password } = url;
  const credentials =
    username === '' && password === '' ? undefined : `${decode(username)}:${decode(password)}`;
  url.username = '';
  url.password = '';
  return { url: url.href, credentials };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // A percent sign that stands for itself.
    return text;
  }
}
