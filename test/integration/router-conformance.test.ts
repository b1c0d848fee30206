import { readFileSync } from 'node:fs';
import http from 'node:http';
import { LineReader } from '../../src/lib/line-reader';
import { SCRIPTED_APP, scriptPath } from '../support/scripted-backend';
import { eventually, TestPlatform } from '../support/platform';
import { describeRouter } from '../contract/router/router.contract';
import type { RouterSubject, Situation } from '../contract/router/rules';

/** Images, a build and some restarts of dynos. */
const SET_UP_MS = 300_000;
const APP = 'conformance';
const SPARE = 'spare';
const BLANK = 'blank';

/** The router's lines in the log of an app, as they come. */
async function follow(platform: TestPlatform, app: string, lines: string[]): Promise<() => void> {
  const created = await platform.api('POST', `/apps/${app}/log-sessions`, {
    tail: true,
    source: 'heroku',
    dyno: 'router',
  });
  const { logplex_url: url } = created.body as { logplex_url: string };
  return new Promise((resolve, reject) => {
    const request = http.get(url, { headers: { Accept: 'text/event-stream' } }, (response) => {
      const reader = new LineReader(1 << 20, (line) => {
        const [, text] = /^data: .* heroku\[router\]: (.*)$/.exec(line) ?? [];
        if (text !== undefined) lines.push(text);
      });
      response.on('data', (chunk: Buffer) => reader.push(chunk));
      // Its only failure is our hanging up.
      response.on('error', () => undefined);
      resolve(() => request.destroy());
    });
    request.on('error', reject);
  });
}

describeRouter(
  'The router of an installation',
  [],
  async (): Promise<RouterSubject> => {
    const platform = new TestPlatform();
    const lines: string[] = [];
    const unfollow: (() => void)[] = [];
    const done = async (method: string, path: string, body?: unknown): Promise<void> => {
      const { status, body: answer } = await platform.api(method, path, body);
      if (status >= 300) throw new Error(`${method} ${path}: ${status} ${JSON.stringify(answer)}`);
    };
    const untilSpare = (what: string, check: (status: number, body: string) => boolean): Promise<boolean> =>
      eventually(
        what,
        async () => {
          const { status, body } = await platform.visit(SPARE, '/', { Accept: 'application/json' });
          return check(status, body);
        },
        90_000,
      );

    /** How the spare app is brought into a situation, how it is seen, and how it is brought back. */
    const situations: Partial<
      Record<Situation, { begin: () => Promise<void>; code: string; end: () => Promise<void> }>
    > = {
      maintenance: {
        begin: () => done('PATCH', `/apps/${SPARE}`, { maintenance: true }),
        code: 'H80',
        end: () => done('PATCH', `/apps/${SPARE}`, { maintenance: false }),
      },
      'scaled to zero': {
        begin: () => done('PATCH', `/apps/${SPARE}/formation/web`, { quantity: 0 }),
        code: 'H14',
        end: () => done('PATCH', `/apps/${SPARE}/formation/web`, { quantity: 1 }),
      },
      crashed: {
        begin: () => done('PATCH', `/apps/${SPARE}/config-vars`, { CRASH: '1' }),
        code: 'H10',
        end: () => done('PATCH', `/apps/${SPARE}/config-vars`, { CRASH: null }),
      },
      refusing: {
        begin: async () => {
          const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n';
          await platform.visit(SPARE, scriptPath('unlisten', [['unlisten'], ['send', answer], ['end']]));
        },
        // The first request that is refused is the test's: its dyno is then left alone for a while.
        code: '',
        end: () => done('DELETE', `/apps/${SPARE}/dynos`),
      },
    };

    const stop = async (): Promise<void> => {
      for (const each of unfollow) each();
      await platform.destroy();
    };
    try {
      await platform.start();
      const folder = await platform.repository({
        Procfile: 'web: node server.js\n',
        'package.json': JSON.stringify({ name: APP, version: '1.0.0', private: true }),
        'server.js': readFileSync(SCRIPTED_APP, 'utf8'),
      });
      for (const name of [APP, SPARE, BLANK]) {
        await done('POST', '/apps', { name });
        unfollow.push(await follow(platform, name, lines));
        if (name === BLANK) continue;
        const { exitCode, stderr } = await platform.push(folder, name);
        if (exitCode !== 0) throw new Error(stderr);
        await eventually(`${name} answers`, async () => (await platform.visit(name)).body === 'ok');
      }
    } catch (error) {
      await stop();
      throw error;
    }

    return {
      port: platform.httpPort,
      host: `${APP}.localhost`,
      lines: () => lines,
      async situation(name) {
        if (name === 'blank') return { host: `${BLANK}.localhost`, end: async () => undefined };
        const situation = situations[name];
        if (situation === undefined) throw new Error(`no way into "${name}" here`);
        await situation.begin();
        const { code } = situation;
        if (code !== '') await untilSpare(name, (_status, body) => body.includes(`"${code}"`));
        return {
          host: `${SPARE}.localhost`,
          async end() {
            await situation.end();
            await untilSpare('the spare app serves again', (status) => status === 200);
          },
        };
      },
      variant: () => Promise.reject(new Error('an installation has one router')),
      settle: async () => undefined,
      stop,
    };
  },
  SET_UP_MS,
);
