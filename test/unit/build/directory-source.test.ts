import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import type { Readable } from 'node:stream';
import { extract, pack as createPack, type Header } from 'tar-stream';
import { BuildFailure } from '../../../src/build/build-failure';
import { appendSource } from '../../../src/build/source';
import type { AppendedSource } from '../../../src/build/tar-entry';
import { writeFiles } from '../../support/git-repository';

const TIME = new Date('2026-01-02T03:04:05Z');

let directory: string;
beforeEach(() => (directory = mkdtempSync(path.join(tmpdir(), 'dynodock-test-folder-'))));
afterEach(() => rmSync(directory, { recursive: true, force: true }));

interface Read extends AppendedSource {
  /** name → content, or `-> target` of a link. */
  entries: Record<string, string>;
  headers: Header[];
}

async function read(signal = new AbortController().signal): Promise<Read> {
  const pack = createPack();
  const entries: Record<string, string> = {};
  const headers: Header[] = [];
  const reader = extract();
  (pack as unknown as Readable).pipe(reader);
  const collected = (async () => {
    for await (const entry of reader) {
      headers.push(entry.header);
      const content = (await buffer(entry)).toString('utf8');
      const { name, type, linkname } = entry.header;
      entries[name] = type === 'symlink' ? `-> ${linkname}` : content;
    }
  })();
  const appended = await appendSource(pack, 'build', { kind: 'directory', directory, time: TIME }, signal);
  pack.finalize();
  await collected;
  return { ...appended, entries, headers };
}

test('takes the folder as it is, without data of git, in an order of its own', async () => {
  writeFiles(directory, {
    'package.json': '{}',
    '.gitignore': 'node_modules\n',
    'node_modules/a/index.js': 'a',
    '.git/HEAD': 'ref: refs/heads/main\n',
    'module/.git': 'gitdir: ../.git/modules/module\n',
    'module/file': 'x',
    'bin/run': { content: '#!/bin/sh\n', mode: 0o700 },
    secret: { content: 's', mode: 0o600 },
    'outside link': { symlink: '/etc/passwd' },
    loop: { symlink: 'loop' },
    'häßlich\nnew line': 'y',
    '-rf': 'z',
  });
  const { entries, headers, warnings } = await read();
  expect(entries).toEqual({
    'build/-rf': 'z',
    'build/.gitignore': 'node_modules\n',
    'build/bin/': '',
    'build/bin/run': '#!/bin/sh\n',
    'build/häßlich\nnew line': 'y',
    'build/loop': '-> loop',
    'build/module/': '',
    'build/module/file': 'x',
    'build/node_modules/': '',
    'build/node_modules/a/': '',
    'build/node_modules/a/index.js': 'a',
    'build/outside link': '-> /etc/passwd',
    'build/package.json': '{}',
    'build/secret': 's',
  });
  expect(headers.map(({ name }) => name)).toEqual(Object.keys(entries));
  const modes = Object.fromEntries(headers.map(({ name, mode }) => [name, mode.toString(8)]));
  expect(modes).toMatchObject({ 'build/bin/run': '755', 'build/secret': '644', 'build/bin/': '755' });
  expect(new Set(headers.map(({ uid, gid, mtime }) => `${uid} ${gid} ${mtime.toISOString()}`))).toEqual(
    new Set(['10001 10001 2026-01-02T03:04:05.000Z']),
  );
  expect(warnings).toEqual([]);
});

test('leaves out what .slugignore names', async () => {
  writeFiles(directory, { '.slugignore': '*.psd\n/docs\n', 'a/logo.psd': '', 'docs/x': '', 'a/docs/y': 'y' });
  const { entries, ignored } = await read();
  expect(Object.keys(entries)).toEqual(['build/.slugignore', 'build/a/', 'build/a/docs/', 'build/a/docs/y']);
  expect(ignored).toBe(2);
});

test('leaves out what is neither a file nor a folder nor a link, and says so', async () => {
  execFileSync('mkfifo', [path.join(directory, 'pipe')]);
  const { entries, warnings } = await read();
  expect(entries).toEqual({});
  expect(warnings).toEqual(['Sockets, pipes and devices were left out: 1 of them.']);
});

test('names what cannot be read', async () => {
  writeFiles(directory, { 'a/b\nc': 'x' });
  chmodSync(path.join(directory, 'a', 'b\nc'), 0o000);
  if (process.getuid?.() !== 0) {
    await expect(read()).rejects.toMatchObject({
      message: expect.stringContaining('"a/b\\nc": permission denied') as string,
    });
  }
  rmSync(directory, { recursive: true });
  await expect(read()).rejects.toBeInstanceOf(BuildFailure);
});

test('ends when it is called off', async () => {
  writeFiles(directory, { a: 'x' });
  await expect(read(AbortSignal.abort(new Error('called off')))).rejects.toThrow('called off');
});
