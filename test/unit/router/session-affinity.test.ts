import { affineDyno, affinityCookie } from '../../../src/router/session-affinity';
import { aDyno, anApp, RouterBench } from '../../support/router-client';

let bench: RouterBench;
beforeEach(async () => {
  bench = await new RouterBench().start();
});
afterEach(() => bench.stop());

const saying = (name: string): string => `HTTP/1.1 200 OK\r\nContent-Length: ${name.length}\r\n\r\n${name}`;

async function serve(affinity: boolean): Promise<void> {
  const dynos = await Promise.all(['a', 'b', 'c'].map((name) => bench.dyno(saying(name))));
  const routes = dynos.map(({ port }, index) => aDyno(port, { id: `dyno-${'abc'[index]}` }));
  await bench.daemon.serve(anApp({ session_affinity: affinity, web_quantity: 3, dynos: routes }));
}

const bodyOf = (answer: string): string => answer.slice(answer.indexOf('\r\n\r\n') + 4);
const cookieOf = (answer: string): string | undefined => /\r\nSet-Cookie: ([^;]+);/.exec(answer)?.[1];

describe('session affinity (Dev Center "Session Affinity")', () => {
  test('brings a client back to its dyno by a cookie, which is set once', async () => {
    await serve(true);
    const first = await bench.get();
    expect(first).toMatch(/\r\nSet-Cookie: heroku-session-affinity=[\w-]+; .*HttpOnly\r\n/);
    const cookie = cookieOf(first)!;
    for (let i = 0; i < 10; i += 1) {
      const again = await bench.get('/', `\nCookie: other=1; ${cookie}; more=2`);
      expect(bodyOf(again)).toBe(bodyOf(first));
      expect(cookieOf(again)).toBeUndefined();
    }
  });

  test('gives a client another dyno when its own is gone', async () => {
    await serve(true);
    const lost = affinityCookie('dyno-gone').split(';')[0]!;
    const answer = await bench.get('/', `\nCookie: ${lost}`);
    expect('abc').toContain(bodyOf(answer));
    expect(cookieOf(answer)).not.toBe(lost);
    expect(cookieOf(answer)).toBe(affinityCookie(`dyno-${bodyOf(answer)}`).split(';')[0]);
  });

  test('gives a client another dyno when its own does not accept', async () => {
    await serve(true);
    const away = aDyno(1, { id: 'dyno-away' });
    const other = await bench.dyno(saying('other'));
    await bench.daemon.serve(
      anApp({
        session_affinity: true,
        web_quantity: 2,
        dynos: [away, aDyno(other.port, { id: 'dyno-other' })],
      }),
    );
    const answer = await bench.get('/', `\nCookie: ${affinityCookie('dyno-away').split(';')[0]!}`);
    expect(bodyOf(answer)).toBe('other');
    expect(cookieOf(answer)).toBe(affinityCookie('dyno-other').split(';')[0]);
  });

  test('is off unless the app wants it', async () => {
    await serve(false);
    expect(await bench.get()).not.toContain('Set-Cookie');
  });
});

test.each([
  [[], null],
  [['Cookie', 'a=b'], null],
  [['Cookie', 'x-heroku-session-affinity=Zm9v'], null],
  [['COOKIE', 'heroku-session-affinity=Zm9v'], 'foo'],
  [['Cookie', 'a=b', 'cookie', 'c=d;heroku-session-affinity=Zm9v;e=f'], 'foo'],
])('reads the dyno from %j as %j', (rawHeaders, dyno) => {
  expect(affineDyno(rawHeaders)).toBe(dyno);
});
