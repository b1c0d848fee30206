import { linkSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DataFolderLock, LockedError } from '../../../src/daemon/lock';
import { answers } from '../../../src/lib/private-socket';

let dir: string;
let socketPath: string;
beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'lock-'));
  socketPath = path.join(dir, 'daemon.sock');
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** What a daemon leaves that was killed: a socket that nobody listens on. */
async function leaveSocket(): Promise<void> {
  const server = createServer();
  const own = path.join(dir, 'killed.sock');
  await new Promise<void>((resolve) => server.listen(own, resolve));
  linkSync(own, socketPath);
  await new Promise((resolve) => server.close(resolve));
}

async function acquireAll(count: number): Promise<DataFolderLock[]> {
  const locks = Array.from({ length: count }, () => new DataFolderLock(socketPath));
  const outcomes = await Promise.allSettled(locks.map((lock) => lock.acquire()));
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected') expect(outcome.reason).toBeInstanceOf(LockedError);
  }
  return locks.filter((_lock, index) => outcomes[index]?.status === 'fulfilled');
}

describe('lock of a data folder', () => {
  test.each([
    ['a new folder', async () => undefined],
    ['a folder with the socket of a killed daemon', leaveSocket],
  ])('%s goes to one of many that start at once', async (_folder, prepare) => {
    await prepare();
    const [winner, ...others] = await acquireAll(20);
    expect(others).toEqual([]);
    expect(await answers(socketPath)).toBe(true);
    expect(readdirSync(dir)).toEqual(['daemon.sock']);
    await winner!.release();
    expect(readdirSync(dir)).toEqual([]);
  });

  test('is had again once it was released', async () => {
    const [first] = await acquireAll(1);
    expect(await acquireAll(1)).toEqual([]);
    await first!.release();
    const [second] = await acquireAll(1);
    expect(await answers(socketPath)).toBe(true);
    await second!.release();
    expect(await answers(socketPath)).toBe(false);
  });

  test("is its owner's alone", async () => {
    const [lock] = await acquireAll(1);
    expect(statSync(socketPath).mode & 0o777).toBe(0o600);
    await lock!.release();
  });
});
