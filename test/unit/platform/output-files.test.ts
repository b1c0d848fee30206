import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { AppId, BuildId } from '../../../src/domain/ids';
import { OutputFiles } from '../../../src/platform/output-streams/output-files';

const APP = randomUUID() as AppId;

describe('OutputFiles', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'dynodock-outputs-'));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  async function read(outputs: OutputFiles, id: BuildId): Promise<string> {
    const chunks: Buffer[] = [];
    for await (const chunk of outputs.read(APP, id)) chunks.push(chunk);
    return Buffer.concat(chunks).toString();
  }

  test('keeps concurrent writes in order and replays them later', async () => {
    const id = randomUUID() as BuildId;
    const output = new OutputFiles(directory).create(APP, id);
    await Promise.all(Array.from({ length: 50 }, (_, index) => output.write(`${index},`)));
    await output.end();
    const expected = Array.from({ length: 50 }, (_, index) => `${index},`).join('');
    expect(await read(new OutputFiles(directory), id)).toBe(expected);
  });

  test('keeps a bounded part and says that there was more', async () => {
    const id = randomUUID() as BuildId;
    const outputs = new OutputFiles(directory, 10);
    const output = outputs.create(APP, id);
    for (const text of ['12345', '67890', 'x', 'y'.repeat(100)]) await output.write(text);
    await output.end();
    expect(await read(outputs, id)).toMatch(/^1234567890\n ! {5}The output is longer [^\n]+\n$/);
  });

  test('has nothing of a build that never ran', async () => {
    expect(await read(new OutputFiles(directory), randomUUID() as BuildId)).toBe('');
  });

  test('fails the writer, not its readers, where nothing can be written', async () => {
    writeFileSync(path.join(directory, APP), 'a file where a folder should be');
    const id = randomUUID() as BuildId;
    const outputs = new OutputFiles(directory);
    const output = outputs.create(APP, id);
    await expect(output.write('x')).rejects.toThrow();
    await expect(output.end()).rejects.toThrow();
  });
});
