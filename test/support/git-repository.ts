import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** Content; an object says more of a file. */
export type TestFiles = Record<string, string | { content?: string; mode?: number; symlink?: string }>;

/** A repository with a work tree in a temporary directory. */
export class TestRepository {
  readonly directory: string;

  constructor() {
    this.directory = mkdtempSync(path.join(tmpdir(), 'dynodock-test-repo-'));
    this.git('init', '--quiet', '--initial-branch=main');
  }

  /** Answers the commit's id. Equal files give equal commits: author and time are fixed. */
  commit(files: TestFiles, message = 'Change'): string {
    writeFiles(this.directory, files);
    this.git('add', '--all', '--force');
    this.git('commit', '--quiet', '--allow-empty', '--message', message);
    return this.git('rev-parse', 'HEAD').trim();
  }

  git(...args: string[]): string {
    return execFileSync('git', args, { cwd: this.directory, env: GIT_ENV, encoding: 'utf8' });
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export const GIT_ENV = {
  PATH: process.env.PATH,
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_TERMINAL_PROMPT: '0',
  GIT_AUTHOR_NAME: 'Test',
  GIT_AUTHOR_EMAIL: 'test@localhost',
  GIT_AUTHOR_DATE: '2026-01-02T03:04:05Z',
  GIT_COMMITTER_NAME: 'Test',
  GIT_COMMITTER_EMAIL: 'test@localhost',
  GIT_COMMITTER_DATE: '2026-01-02T03:04:05Z',
};

export const COMMIT_TIME = new Date('2026-01-02T03:04:05Z');

export function writeFiles(directory: string, files: TestFiles): void {
  for (const [name, file] of Object.entries(files)) {
    const target = path.join(directory, name);
    const { content = '', mode, symlink } = typeof file === 'string' ? { content: file } : file;
    mkdirSync(path.dirname(target), { recursive: true });
    if (symlink !== undefined) symlinkSync(symlink, target);
    else writeFileSync(target, content);
    if (mode !== undefined) chmodSync(target, mode);
  }
}
