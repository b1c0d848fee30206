import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { extract, pack } from 'tar-stream';
import { appendArchiveSource, readArchive } from '../../../src/build/archive-source';
import { BuildFailure } from '../../../src/build/build-failure';
import { walkTree } from '../../../src/build/tar-tree';
import { tarOf, tgzOf, type ArchiveEntry } from '../../support/archives';

const signal = new AbortController().signal;

describe('a source archive', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'dynodock-archive-'));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  function write(content: Buffer | string): string {
    const file = path.join(directory, 'source');
    writeFileSync(file, content);
    return file;
  }

  /** What comes into the build container, path → what it is. */
  async function unpacked(content: Buffer): Promise<Record<string, string>> {
    const source = await readArchive(write(content), signal);
    const tar = pack();
    const appended = appendArchiveSource(tar, { folder: 'build', uid: 10001 }, source, signal).then(() =>
      tar.finalize(),
    );
    const found: Record<string, string> = {};
    const entries = extract();
    const read = (async () => {
      for await (const entry of entries) {
        const { header } = entry;
        expect([header.uid, header.gid]).toEqual([10001, 10001]);
        found[header.name] =
          header.type === 'file'
            ? (await buffer(entry as never)).toString()
            : `${header.type} ${(header.linkname as string | null) ?? ''}`.trim();
        entry.resume();
      }
    })();
    tar.pipe(entries as never);
    await Promise.all([appended, read]);
    return found;
  }

  async function complaint(content: Buffer | string): Promise<string> {
    try {
      await readArchive(write(content), signal);
    } catch (error) {
      if (error instanceof BuildFailure && error.kind === 'source') return error.message;
      throw error;
    }
    throw new Error('it was taken');
  }

  test('may be gzipped or plain, with or without ./ and folders', async () => {
    const entries: Record<string, ArchiveEntry> = {
      './': { directory: true },
      './a.txt': 'a',
      './lib/': { directory: true },
      './lib/b.txt': 'b',
    };
    const expected = { 'build/a.txt': 'a', 'build/lib/': 'directory', 'build/lib/b.txt': 'b' };
    expect(await unpacked(await tgzOf(entries))).toEqual(expected);
    expect(await unpacked(await tarOf(entries))).toEqual(expected);
  });

  test('loses the one folder around everything, as code hosts make it', async () => {
    expect(
      await unpacked(
        await tgzOf({ 'app-1a2b/': { directory: true }, 'app-1a2b/a': 'a', 'app-1a2b/lib/b': 'b' }),
      ),
    ).toEqual({ 'build/a': 'a', 'build/lib/b': 'b' });
    expect(await unpacked(await tgzOf({ 'app/a': 'a', 'other/b': 'b' }))).toEqual({
      'build/app/a': 'a',
      'build/other/b': 'b',
    });
    expect(await unpacked(await tgzOf({ Procfile: 'web: x' }))).toEqual({ 'build/Procfile': 'web: x' });
  });

  test('loses what .slugignore names, and what is git’s', async () => {
    const files = { '.slugignore': '*.psd\n/docs\n', 'a.psd': '1', 'docs/x': '1', '.git/config': '1' };
    const more = { 'vendor/.git': 'gitdir: x', '.gitmodules': 'x', 'main.js': 'x' };
    const expected = { 'build/.slugignore': '*.psd\n/docs\n', 'build/main.js': 'x' };
    expect(await unpacked(await tgzOf({ ...files, ...more }))).toEqual(expected);
    const inFolder = Object.entries({ ...files, ...more }).map(
      ([name, text]) => [`top/${name}`, text] as const,
    );
    expect(await unpacked(await tgzOf(inFolder as [string, string][]))).toEqual(expected);
  });

  test('keeps links as they are, and hard links inside of it', async () => {
    expect(
      await unpacked(
        await tgzOf({
          'top/a': 'a',
          'top/out': { symlink: '/etc/passwd' },
          'top/up': { symlink: '../../..' },
          'top/again': { hardlink: 'top/a' },
        }),
      ),
    ).toEqual({
      'build/a': 'a',
      'build/out': 'symlink /etc/passwd',
      'build/up': 'symlink ../../..',
      'build/again': 'link build/a',
    });
  });

  test('keeps names in any script, with line ends and of any length', async () => {
    const names = ['ü/名前.txt', 'with\nline end', `${'long/'.repeat(60)}name`];
    expect(
      Object.keys(await unpacked(await tgzOf(names.map((name): [string, ArchiveEntry] => [name, 'x'])))),
    ).toEqual(names.map((name) => `build/${name}`));
  });

  test('takes its time from its newest entry', async () => {
    const content = await tgzOf({
      a: { content: 'a', mtime: new Date('2026-01-01T00:00:00Z') },
      b: { content: 'b', mtime: new Date('2025-01-01T00:00:00Z') },
    });
    expect((await readArchive(write(content), signal)).time).toEqual(new Date('2026-01-01T00:00:00Z'));
  });

  test.each<[string, [string, ArchiveEntry][], string]>([
    ['climbs out', [['../x', 'x']], 'its entry ../x leads out of it'],
    ['climbs out on the way', [['a/../../x', 'x']], 'its entry a/../../x leads out of it'],
    ['is absolute', [['/etc/passwd', 'x']], 'its entry /etc/passwd leads out of it'],
    [
      'lies behind a symbolic link',
      [
        ['dir', { symlink: '/etc' }],
        ['dir/passwd', 'x'],
      ],
      'its entry dir/passwd lies behind the symbolic link dir',
    ],
    [
      'lies behind a symbolic link that took a folder’s place',
      [
        ['dir/', { directory: true }],
        ['dir', { symlink: '/etc' }],
        ['dir/deep/passwd', 'x'],
      ],
      'its entry dir/deep/passwd lies behind the symbolic link dir',
    ],
    [
      'is a hard link out of it',
      [
        ['a', 'a'],
        ['b', { hardlink: '../../etc/passwd' }],
      ],
      'its entry b leads out of it',
    ],
    [
      'is a hard link to nothing',
      [
        ['a', 'a'],
        ['b', { hardlink: 'etc/passwd' }],
      ],
      'its hard link b leads to no file in it',
    ],
    ['is a pipe', [['pipe', { fifo: true }]], 'its entry pipe is neither file, folder nor link'],
  ])('is refused if an entry %s', async (_what, entries, reason) => {
    expect(await complaint(await tgzOf(entries))).toBe(`The source archive cannot be used: ${reason}.`);
  });

  test.each<[string, () => Promise<Buffer | string> | Buffer | string, string]>([
    ['nothing', () => '', 'it is empty'],
    ['a zip file', () => 'PK\x03\x04...', 'it is a zip file, not a (gzipped) tar'],
    ['a page', () => '<html>Sign in</html>', 'it is a web page or XML, not a (gzipped) tar'],
    ['something', () => 'x'.repeat(2000), 'it is not a (gzipped) tar'],
    ['something gzipped', () => gzipSync('x'.repeat(2000)), 'it is no tar, or damaged'],
    [
      'half of it',
      async () => (await tgzOf({ a: 'a'.repeat(50_000) })).subarray(0, 80),
      'it is cut off or damaged',
    ],
    [
      'half a plain one',
      async () => (await tarOf({ a: 'a'.repeat(50_000) })).subarray(0, 9000),
      'it is cut off',
    ],
    ['no files', () => tgzOf({ 'top/': { directory: true } }), 'there are no files in it'],
  ])('is refused if it is %s', async (_what, content, reason) => {
    expect(await complaint(await content())).toBe(`The source archive cannot be used: ${reason}.`);
  });

  test('is refused if it unpacks to too much', async () => {
    const file = write(await tgzOf({ a: 'a'.repeat(1000), b: 'b'.repeat(1000) }));
    const walk = (limits: object): Promise<void> =>
      walkTree(file, { compression: 'gzip', signal, ...limits }, () => Promise.resolve());
    await expect(walk({ maxBytes: 1999 })).rejects.toThrow('it unpacks to more than');
    await expect(walk({ maxEntries: 1 })).rejects.toThrow('it has more than 1 entries');
    await walk({ maxBytes: 2000, maxEntries: 2 });
  });
});
