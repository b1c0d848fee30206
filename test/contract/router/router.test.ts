import { connect } from 'node:net';
import { aDyno, anApp, RouterBench } from '../../support/router-client';
import { ScriptedBackend } from '../../support/scripted-backend';
import { describeRouter } from './router.contract';
import type { RouterSubject, Situation, Variant } from './rules';
import type { AppRoutes } from '../../../src/router/protocol';

const SITUATIONS: readonly Situation[] = [
  'maintenance',
  'blank',
  'scaled to zero',
  'crashed',
  'refusing',
  'starting',
  'not accepting',
];
const HOST = 'demo.localhost';
const hostOf = (situation: Situation): string => `${situation.replaceAll(' ', '-')}.localhost`;

/** A port that refuses connections. */
async function refusingPort(): Promise<number> {
  const gone = await ScriptedBackend.start();
  await gone.stop();
  return gone.port;
}

describeRouter('Router', ['own options'], async (): Promise<RouterSubject> => {
  const backend = await ScriptedBackend.start();
  const refusing = await refusingPort();

  const appIn = (situation: Situation): AppRoutes => {
    const app = anApp({
      app_id: situation,
      app_name: situation,
      hosts: [hostOf(situation)],
      dynos: [aDyno(backend.port, { id: situation })],
    });
    switch (situation) {
      case 'maintenance':
        return { ...app, maintenance: true };
      case 'blank':
        return { ...app, has_code: false };
      case 'scaled to zero':
        return { ...app, web_quantity: 0 };
      case 'crashed':
        return { ...app, dynos: [aDyno(null, { id: situation, state: 'crashed' })] };
      case 'refusing':
        return { ...app, dynos: [aDyno(refusing, { id: situation })] };
      case 'starting':
        return { ...app, dynos: [aDyno(null, { id: situation, state: 'starting' })] };
      case 'not accepting':
        return { ...app, dynos: [aDyno(deafPort, { id: situation })] };
    }
  };

  // Stopped before it accepts anything: once its short queue is full, the kernel leaves a SYN unanswered.
  const deaf = await ScriptedBackend.start({ BACKLOG: '1' });
  deaf.signal('SIGSTOP');
  const deafPort = deaf.port;
  const queued = Array.from({ length: 8 }, () => connect(deafPort, '127.0.0.1'));
  for (const socket of queued) socket.on('error', () => undefined);

  const serve = async (options: Parameters<RouterSubject['variant']>[0]): Promise<RouterBench> => {
    const bench = await new RouterBench().start(options);
    await bench.daemon.serve(
      anApp({ hosts: [HOST], dynos: [aDyno(backend.port)] }),
      ...SITUATIONS.map(appIn),
    );
    return bench;
  };
  const addressOf = (bench: RouterBench) => ({
    port: bench.router.httpPort,
    host: HOST,
    lines: () => bench.daemon.lines.map(({ text }) => text),
  });

  const main = await serve({});
  const variants: RouterBench[] = [];
  return {
    ...addressOf(main),
    situation: async (name) => ({ host: hostOf(name), end: async () => undefined }),
    async variant(options): Promise<Variant> {
      const bench = await serve(options);
      variants.push(bench);
      return { ...addressOf(bench), hostOf, stop: () => bench.router.stop() };
    },
    async settle() {
      for (const bench of variants.splice(0)) await bench.stop();
    },
    async stop() {
      await main.stop();
      await backend.stop();
      for (const socket of queued) socket.destroy();
      await deaf.stop();
    },
  };
});
