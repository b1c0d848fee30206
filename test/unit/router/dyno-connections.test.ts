import type { Clock } from '../../../src/lib/clock';
import { systemClock } from '../../../src/lib/clock';
import { DynoConnections, type DynoConnectionsOptions } from '../../../src/router/dyno-connections';
import type { RoutableDyno } from '../../../src/router/gate';
import { aDyno, eventually, HELLO, TestDyno } from '../../support/router-client';

const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

function connections(more: Partial<DynoConnectionsOptions> = {}): DynoConnections {
  const made = new DynoConnections({
    clock: systemClock,
    random: () => 0,
    connectTimeoutMs: 1000,
    quarantineMs: 1000,
    maxAttempts: 10,
    keepAliveMs: 1000,
    maxIdlePerDyno: 2,
    ...more,
  });
  ends.push(() => made.stop());
  return made;
}

async function dynoServer(): Promise<TestDyno> {
  const dyno = await TestDyno.answering(HELLO);
  ends.push(() => dyno.stop());
  return dyno;
}

const routable = (port: number, name = 'web.1'): RoutableDyno =>
  aDyno(port, { id: name, name }) as RoutableDyno;
const never = new AbortController();
const signal = (): AbortSignal => never.signal;

/** Every timer is due at once: whatever is waited for takes too long. */
const impatient: Clock = {
  now: () => new Date(),
  after(_delayMs, callback) {
    let cancelled = false;
    queueMicrotask(() => {
      if (!cancelled) callback();
    });
    return () => (cancelled = true);
  },
};

describe('connections to dynos', () => {
  test('are H19 when no dyno accepts in time', async () => {
    const dyno = await dynoServer();
    const outcome = await connections({ clock: impatient }).connect([routable(dyno.port)], {
      reuse: true,
      signal,
    });
    expect(outcome).toMatchObject({ kind: 'failed', code: 'H19' });
  });

  test('are tried at most as often as allowed', async () => {
    const gone = await TestDyno.answering(HELLO);
    const { port } = gone;
    await gone.stop();
    const dynos = [1, 2, 3, 4].map((n) => routable(port, `web.${n}`));
    const made = connections({ maxAttempts: 2 });
    expect(await made.connect(dynos, { reuse: true, signal })).toMatchObject({ kind: 'failed', code: 'H21' });
    // Two were tried and are quarantined, two are left.
    expect(await made.connect(dynos, { reuse: true, signal })).toMatchObject({ kind: 'failed', code: 'H21' });
    expect(await made.connect(dynos, { reuse: true, signal })).toMatchObject({ kind: 'quarantined' });
  });

  test('are spread by chance', async () => {
    const dynos = await Promise.all([dynoServer(), dynoServer()]);
    let next = 0;
    const made = connections({ random: () => (next = (next + 0.5) % 1) });
    const names = new Set<string>();
    for (let i = 0; i < 4; i++) {
      const outcome = await made.connect(
        dynos.map((dyno, n) => routable(dyno.port, `web.${n + 1}`)),
        { reuse: false, signal },
      );
      if (outcome.kind !== 'connected') throw new Error(outcome.kind);
      names.add(outcome.connection.dyno.name);
      outcome.connection.socket.destroy();
    }
    expect([...names].sort()).toEqual(['web.1', 'web.2']);
  });

  test('are kept for the next request until the dyno closes them', async () => {
    const dyno = await dynoServer();
    const made = connections();
    const first = await made.connect([routable(dyno.port)], { reuse: true, signal });
    if (first.kind !== 'connected') throw new Error(first.kind);
    made.release(first.connection);
    const second = await made.connect([routable(dyno.port)], { reuse: true, signal });
    expect(second).toMatchObject({ connection: { reused: true } });
    if (second.kind !== 'connected') throw new Error(second.kind);
    expect(second.connection.socket).toBe(first.connection.socket);
    made.release(second.connection);
    dyno.sockets[0]!.end();
    await eventually(() => first.connection.socket.destroyed, 'kept connection closed');
    expect(await made.connect([routable(dyno.port)], { reuse: true, signal })).toMatchObject({
      connection: { reused: false },
    });
  });

  test('are closed when kept too long, too many, or for a dyno that is gone', async () => {
    const dyno = await dynoServer();
    const made = connections({ keepAliveMs: 30 });
    const open = async () => {
      const outcome = await made.connect([routable(dyno.port)], { reuse: false, signal });
      if (outcome.kind !== 'connected') throw new Error(outcome.kind);
      return outcome.connection;
    };
    const three = [await open(), await open(), await open()];
    for (const connection of three) made.release(connection);
    expect(three.map((connection) => connection.socket.destroyed)).toEqual([false, false, true]);
    await eventually(() => three.every((connection) => connection.socket.destroyed), 'too long');
    const another = await open();
    made.release(another);
    made.retain([]);
    expect(another.socket.destroyed).toBe(true);
  });
});
