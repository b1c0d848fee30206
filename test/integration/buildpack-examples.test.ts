import { SlugBench, example } from '../support/slug-bench';

const bench = new SlugBench();

beforeAll(() => bench.start(), 10 * 60_000);
afterEach(() => bench.clear(), 60_000);

jest.setTimeout(300_000);

// What two tabs of the page do, in a program.
const TWO_CLIENTS = `
const open = () => new Promise((resolve, reject) => {
  const socket = new WebSocket('ws://127.0.0.1:5000/chat');
  socket.onerror = reject;
  socket.onopen = () => resolve(socket);
});
(async () => {
  const [ada, bob] = [await open(), await open()];
  bob.onmessage = ({ data }) => {
    console.log(JSON.parse(data).name + ': ' + JSON.parse(data).text);
    process.exit();
  };
  ada.send(JSON.stringify({ name: 'Ada', text: 'hello Bob' }));
})();
`;

describe('the examples', () => {
  it('websocket-chat: what one says the other reads', async () => {
    // ws comes from the npm registry.
    const build = await bench.build('nodejs', await example('websocket-chat'), 'bridge');
    const { exitCode, output } = await build.compile('nodejs');
    expect([exitCode, output]).toEqual([0, expect.any(String)]);
    const dyno = await build.dyno('node server.js');
    expect((await dyno.get('/')).body).toContain('<title>websocket-chat</title>');
    expect(await dyno.run(`/opt/dynodock/node/bin/node - <<'PROGRAM'\n${TWO_CLIENTS}\nPROGRAM`)).toBe(
      'Ada: hello Bob',
    );
    expect(await dyno.stop()).toBe(0);
  });

  it('worker-web: one slug, two process types', async () => {
    const build = await bench.build('nodejs', await example('worker-web'));
    expect((await build.compile('nodejs')).exitCode).toBe(0);
    const web = await build.dyno('node web.js');
    expect((await web.get('/')).body).toBe('This is web.1, process type web\n');
    expect(await web.stop()).toBe(0);
    const worker = await build.dyno('node worker.js', {
      env: { DYNO: 'worker.1', WORK_INTERVAL_MS: '50' },
    });
    await worker.run('sleep 1');
    expect(await worker.stop()).toBe(0);
    expect(await worker.log()).toMatch(
      /^This is worker\.1, process type worker, a job every 50 ms$[^]*^Job 1 done$[^]*^SIGTERM received after \d+ jobs$/m,
    );
  });

  it('multi-buildpack: Node.js builds, nginx serves', async () => {
    const build = await bench.build(['nodejs', 'static'], await example('multi-buildpack'));
    for (const buildpack of ['nodejs', 'static']) {
      expect(await build.detect(buildpack)).toMatchObject({ exitCode: 0 });
      const { exitCode, output } = await build.compile(buildpack);
      expect([exitCode, output]).toEqual([0, expect.any(String)]);
    }
    expect(await build.defaultProcessTypes('static')).toEqual({ web: 'bin/boot' });
    const dyno = await build.dyno('bin/boot');
    expect((await dyno.get('/')).body).toMatch(/Hello from two buildpacks[^]*Built by Node\.js v24\./);
    expect((await dyno.get('/about')).body).toContain('<h1>About</h1>');
    const missing = await dyno.get('/nowhere');
    expect([missing.status, missing.body]).toEqual([404, expect.stringContaining('There is no such page.')]);
    expect(await dyno.stop()).toBe(0);
  });
});
