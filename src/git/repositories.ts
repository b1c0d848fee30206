import { randomUUID } from 'node:crypto';
import { appendFile, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { App } from '../domain/app';
import type { AppId } from '../domain/ids';
import { GIT_OPTIONS, gitEnvironment } from '../lib/git';
import { run } from '../lib/process';

/** Branches that deploy, the preferred one first (Dev Center "Deploying with Git"). */
export const DEPLOY_BRANCHES = ['main', 'master'] as const;

const GIT_TIMEOUT_MS = 60_000;

const CONFIGURATION = `[http]
	receivepack = true
[receive]
	advertisePushOptions = true
	; Deleting main leaves the app running, it only empties the repository.
	denyDeleteCurrent = ignore
`;

/**
 * What an app deploys is what a checkout gives: attributes that are only about archives, by which sources are read
 * here, do not count. This file takes precedence over those in the tree (gitattributes(5)).
 */
const ATTRIBUTES = '* -export-ignore -export-subst\n';

/** In objects/, where git receives a push (git-receive-pack(1), "Quarantine Environment"). */
export const QUARANTINE_FOLDER = /^(?:tmp_objdir-)?incoming-/;

const UNFINISHED = /^new-[0-9a-f-]{36}\.git$/;

/** One bare repository per app, made when it is first needed. */
export class Repositories {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  path(appId: AppId): string {
    return path.join(this.#directory, `${appId}.git`);
  }

  /** Removes what pushes left behind that were cut off with the daemon. To be called before the first push. */
  async sweep(): Promise<void> {
    await mkdir(this.#directory, { recursive: true });
    for (const name of await readdir(this.#directory)) {
      const repository = path.join(this.#directory, name);
      if (UNFINISHED.test(name)) await rm(repository, { recursive: true, force: true });
      if (!name.endsWith('.git') || UNFINISHED.test(name)) continue;
      for (const folder of await readdir(path.join(repository, 'objects'))) {
        if (!QUARANTINE_FOLDER.test(folder)) continue;
        await rm(path.join(repository, 'objects', folder), { recursive: true, force: true });
      }
    }
  }

  /** Answers the repository's folder. */
  async ensure(appId: AppId): Promise<string> {
    const directory = this.path(appId);
    if (await exists(directory)) return directory;
    await mkdir(this.#directory, { recursive: true });
    // Made aside and moved, so that it is there whole or not at all.
    const made = path.join(this.#directory, `new-${randomUUID()}.git`);
    try {
      await git(['init', '--quiet', '--bare', '--template=', made]);
      await appendFile(path.join(made, 'config'), CONFIGURATION);
      await writeFile(path.join(made, 'HEAD'), `ref: refs/heads/${DEPLOY_BRANCHES[0]}\n`);
      await mkdir(path.join(made, 'info'), { recursive: true });
      await writeFile(path.join(made, 'info', 'attributes'), ATTRIBUTES);
      await rename(made, directory);
    } catch (error) {
      await rm(made, { recursive: true, force: true });
      // Someone else was faster.
      if (await exists(directory)) return directory;
      throw error;
    }
    return directory;
  }

  /** HEAD names the branch that a clone checks out: master where only that was pushed. */
  async adoptHead(appId: AppId): Promise<void> {
    const directory = this.path(appId);
    const names = DEPLOY_BRANCHES.map((branch) => `refs/heads/${branch}`);
    const { stdout } = await git(['-C', directory, 'for-each-ref', '--format=%(refname)', ...names]);
    const present = stdout.split('\n');
    const head = (await readFile(path.join(directory, 'HEAD'), 'utf8')).trim().replace(/^ref: /, '');
    const wanted = names.find((name) => present.includes(name));
    if (wanted !== undefined && !present.includes(head)) {
      await git(['-C', directory, 'symbolic-ref', 'HEAD', wanted]);
    }
  }

  /** Bytes of all its files; 0 for a repository that does not exist. */
  async size(appId: AppId): Promise<number> {
    const directory = this.path(appId);
    if (!(await exists(directory))) return 0;
    const entries = await readdir(directory, { recursive: true, withFileTypes: true });
    let size = 0;
    for (const entry of entries.filter((candidate) => candidate.isFile())) {
      try {
        size += (await stat(path.join(entry.parentPath, entry.name))).size;
      } catch (error) {
        // Git repacks and removes files as it sees fit.
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
    }
    return size;
  }

  /** The app is gone. */
  async remove(app: Pick<App, 'id'>): Promise<void> {
    await rm(this.path(app.id), { recursive: true, force: true, maxRetries: 3 });
  }
}

function git(args: readonly string[]): Promise<{ stdout: string }> {
  return run('git', [...GIT_OPTIONS, ...args], { env: gitEnvironment(), timeoutMs: GIT_TIMEOUT_MS });
}

async function exists(file: string): Promise<boolean> {
  try {
    await stat(file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
