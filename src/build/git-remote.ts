import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Clock } from '../lib/clock';
import { GIT_OPTIONS, gitEnvironment } from '../lib/git';
import { ProcessError, run, type RunResult } from '../lib/process';
import { BuildpackFetchError } from './buildpack-fetch-error';
import { formatSize } from './output';

export interface GitRemoteOptions {
  /** `https://example.com/a/b.git`; without credentials, for it becomes a process's argument. */
  url: string;
  /** `user:password` */
  credentials?: string | undefined;
  /** PEM file of the authorities that git is to trust in place of its own. */
  authoritiesFile?: string | undefined;
  clock: Clock;
  signal: AbortSignal;
}

/** A ref by its full name, with the commit that it was last seen at; or a commit by its id, possibly abbreviated. */
export interface Wanted {
  name: string;
  commit?: string;
}

/** Of what git answers to a fetch, and of the folder that it fetches into. */
export interface FetchLimits {
  timeoutMs: number;
  maxBytes: number;
}

/**
 * A repository that belongs to somebody else. Git talks to it as a child of the daemon, which fetches objects into a
 * bare repository and never checks anything out: no hook, filter or attribute of that repository has an effect here.
 */
export class GitRemote {
  readonly #options: GitRemoteOptions;
  /** What errors call it. */
  readonly host: string;

  constructor(options: GitRemoteOptions) {
    this.#options = options;
    this.host = new URL(options.url).host || 'this machine';
  }

  get url(): string {
    return this.#options.url;
  }

  /**
   * The commit that `ref` (a branch, a tag, or '' for the default branch) is at and the ref's full name; undefined if
   * there is no such ref.
   */
  async resolve(ref: string, timeoutMs: number): Promise<{ name: string; commit: string } | undefined> {
    const names = ref === '' ? ['HEAD'] : [`refs/tags/${ref}`, `refs/heads/${ref}`, `refs/${ref}`, ref];
    const patterns = names.flatMap((name) => [name, `${name}^{}`]);
    const { stdout } = await this.#git(['ls-remote', '--', this.url, ...patterns], timeoutMs);
    const found = new Map(
      stdout.split('\n').flatMap((line) => {
        const [commit = '', name = ''] = line.split('\t');
        return name === '' ? [] : [[name, commit] as const];
      }),
    );
    for (const name of names) {
      // An annotated tag is an object of its own, `^{}` the commit that it names (gitrevisions(7)).
      const commit = found.get(`${name}^{}`) ?? found.get(name);
      if (commit !== undefined) return { name, commit };
    }
    return undefined;
  }

  /** Fetches a ref, or a commit where that is possible, into the bare repository `directory`; answers the commit. */
  async fetch(directory: string, wanted: Wanted, limits: FetchLimits): Promise<string> {
    const shallow = ['--depth=1'];
    try {
      await this.#fetch(directory, [...shallow, '--', this.url, wanted.name], limits);
      return await this.#commitOf(directory, 'FETCH_HEAD');
    } catch (error) {
      if (!(error instanceof BuildpackFetchError) || error.reason === 'unreachable') throw error;
      // Servers that give no commit by its id, or know nothing of shallow clones, give everything.
      const everything = ['+refs/heads/*:refs/heads/*', '+refs/tags/*:refs/tags/*'];
      await this.#fetch(directory, ['--', this.url, ...everything], limits);
      const id = wanted.commit ?? wanted.name;
      const local = await this.#commitOf(directory, id).catch(() => undefined);
      if (local !== undefined) return local;
      throw error;
    }
  }

  async #fetch(directory: string, args: string[], { timeoutMs, maxBytes }: FetchLimits): Promise<void> {
    const tooLarge = new AbortController();
    const stopWatching = watchSize(directory, maxBytes, this.#options.clock, tooLarge);
    const signal = AbortSignal.any([this.#options.signal, tooLarge.signal]);
    const options = ['--quiet', '--no-tags', '--no-recurse-submodules', '--no-auto-maintenance'];
    try {
      await this.#git(['-C', directory, 'fetch', ...options, ...args], timeoutMs, signal);
    } catch (error) {
      this.#options.signal.throwIfAborted();
      if (!tooLarge.signal.aborted) throw error;
      throw new BuildpackFetchError('unusable', this.host, `it is larger than ${formatSize(maxBytes)}`);
    } finally {
      stopWatching();
    }
  }

  async #commitOf(directory: string, revision: string): Promise<string> {
    const { stdout } = await this.#git(
      ['-C', directory, 'rev-parse', '--verify', '--quiet', '--end-of-options', `${revision}^{commit}`],
      LOCAL_TIMEOUT_MS,
    );
    return stdout.trim();
  }

  async #git(args: string[], timeoutMs: number, signal = this.#options.signal): Promise<RunResult> {
    const { credentials, authoritiesFile, url } = this.#options;
    const environment = gitEnvironment({
      // A password as an argument could be read by everybody on this machine. Scoped: not sent to other hosts.
      ...(credentials === undefined
        ? {}
        : {
            GIT_CONFIG_COUNT: '1',
            GIT_CONFIG_KEY_0: `http.${new URL(url).origin}/.extraHeader`,
            GIT_CONFIG_VALUE_0: `Authorization: Basic ${Buffer.from(credentials).toString('base64')}`,
          }),
      ...(authoritiesFile === undefined ? {} : { GIT_SSL_CAINFO: authoritiesFile }),
    });
    try {
      return await run('git', [...GIT_OPTIONS, ...HARMLESS, ...args], {
        env: environment,
        timeoutMs,
        signal,
      });
    } catch (error) {
      this.#options.signal.throwIfAborted();
      if (!(error instanceof ProcessError)) throw error;
      throw this.#explain(error, timeoutMs);
    }
  }

  #explain(error: ProcessError, timeoutMs: number): BuildpackFetchError {
    if (error.exitCode === null) {
      const detail = error.stderr === '' ? `no answer within ${timeoutMs / 1000} s` : lastLine(error.stderr);
      return new BuildpackFetchError('unreachable', this.host, detail, { cause: error });
    }
    const refused = REFUSED.test(error.stderr) && !SERVER_TROUBLE.test(error.stderr);
    return new BuildpackFetchError(refused ? 'refused' : 'unreachable', this.host, lastLine(error.stderr), {
      cause: error,
    });
  }
}

const LOCAL_TIMEOUT_MS = 60_000;

/** Options that keep a hostile repository from having any say. */
const HARMLESS = [
  'protocol.allow=never',
  'protocol.https.allow=always',
  'protocol.http.allow=always',
  'protocol.git.allow=always',
  'protocol.file.allow=always',
  'core.hooksPath=/dev/null',
  'core.askPass=',
  'credential.helper=',
  'transfer.bundleURI=false',
  'fetch.writeCommitGraph=false',
  // A server that stops sending is given up.
  'http.lowSpeedLimit=1',
  'http.lowSpeedTime=30',
].flatMap((setting) => ['-c', setting]);

/** Words of git and of its helpers when somebody answered, and said no. */
const REFUSED =
  /not found|Authentication failed|could not read (?:Username|Password)|access denied|The requested URL returned error: 4\d\d|does not appear to be a git repository|not our ref|no such remote ref|couldn't find remote ref|dumb http transport does not support|Server does not allow request|unadvertised object|remote error|not exported|bad revision|Needed a single revision/i;
const SERVER_TROUBLE = /Could not resolve|Couldn't resolve|returned error: (?:429|5\d\d)/i;

/** The last line that says something, without what git puts before it. */
function lastLine(stderr: string): string {
  const lines = stderr.split('\n').map((line) => line.trim());
  const telling = lines.filter(
    (line) => line !== '' && !/^(?:and the repository exists|Please make sure)/.test(line),
  );
  const line = telling.find((text) => text.startsWith('fatal:')) ?? telling.at(-1) ?? 'git gave no reason';
  return line.replace(/^(?:fatal|error|remote): /, '').slice(0, 300);
}

const WATCH_EVERY_MS = 500;

/** Aborts `controller` when the folder has grown beyond `maxBytes`: git has no limit of its own for what it fetches. */
function watchSize(
  directory: string,
  maxBytes: number,
  clock: Clock,
  controller: AbortController,
): () => void {
  let stopped = false;
  let cancel = (): void => undefined;
  const look = async (): Promise<void> => {
    let bytes = 0;
    for (const name of await readdir(directory, { recursive: true }).catch(() => [])) {
      // Git removes and renames files meanwhile.
      bytes += (await stat(path.join(directory, name)).catch(() => undefined))?.size ?? 0;
    }
    if (bytes > maxBytes) controller.abort();
    else if (!stopped) cancel = clock.after(WATCH_EVERY_MS, () => void look());
  };
  cancel = clock.after(WATCH_EVERY_MS, () => void look());
  return () => {
    stopped = true;
    cancel();
  };
}
