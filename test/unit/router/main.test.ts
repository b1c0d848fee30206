import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '../../../src/lib/logger';
import { runRouter } from '../../../src/router/main';
import { eventually, TestDaemon } from '../../support/router-client';

let dir: string;
beforeEach(async () => (dir = await mkdtemp(join(tmpdir(), 'router-'))));
afterEach(() => rm(dir, { recursive: true, force: true }));

const config = () => ({
  dataDir: dir,
  listen: { hosts: ['127.0.0.1', '::1'], httpPort: 0 },
  logger: silentLogger,
});

async function connected(): Promise<TestDaemon> {
  for (;;) {
    const daemon = new TestDaemon(join(dir, 'router.sock'));
    await eventually(() => daemon.closed || daemon.of('hello').length === 1, 'answer or none');
    if (!daemon.closed) return daemon;
  }
}

describe('router process', () => {
  test.each([
    ['shutdown', (daemon: TestDaemon) => daemon.send({ type: 'shutdown' })],
    ['SIGTERM', () => void process.emit('SIGTERM')],
    ['SIGINT', () => void process.emit('SIGINT')],
  ])('ends on %s', async (_reason, end) => {
    const listeners = process.listenerCount('SIGTERM');
    const running = runRouter(config());
    end(await connected());
    await running;
    expect(process.listenerCount('SIGTERM')).toBe(listeners);
  });

  test('fails when its port is taken', async () => {
    const running = runRouter(config());
    const daemon = await connected();
    const [hello] = daemon.of('hello');
    await expect(
      runRouter({
        ...config(),
        dataDir: join(dir, 'other'),
        listen: { hosts: ['127.0.0.1'], httpPort: hello!.http_port },
      }),
    ).rejects.toThrow('EADDRINUSE');
    daemon.send({ type: 'shutdown' });
    await running;
  });
});
