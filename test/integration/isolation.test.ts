import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { eventually, TestPlatform } from '../support/platform';

/** Answers what happens when the dyno connects to the address in its query: `/?host=…&port=…`. */
const PROBE = `
const http = require('node:http');
const net = require('node:net');
const fs = require('node:fs');
http.createServer((request, response) => {
  const query = new URL(request.url, 'http://x').searchParams;
  if (query.has('status')) return response.end(fs.readFileSync('/proc/self/status'));
  if (query.has('gateway')) {
    const route = fs.readFileSync('/proc/net/route', 'utf8').split('\\n').map((line) => line.split('\\t')).find((line) => line[1] === '00000000');
    return response.end(route[2].match(/../g).reverse().map((byte) => parseInt(byte, 16)).join('.'));
  }
  const socket = net.connect({ host: query.get('host'), port: Number(query.get('port')), timeout: 1500 });
  const done = (text) => { socket.destroy(); response.end(text); };
  socket.once('connect', () => done('connected'));
  socket.once('timeout', () => done('timed out'));
  socket.once('error', (error) => done(error.code));
}).listen(process.env.PORT);
`;

jest.setTimeout(180_000);

describe('A dyno', () => {
  const platform = new TestPlatform();

  beforeAll(async () => {
    await platform.start();
    const folder = path.join(platform.dir, 'probe');
    mkdirSync(folder);
    writeFileSync(path.join(folder, 'server.js'), PROBE);
    writeFileSync(path.join(folder, 'package.json'), '{ "name": "probe", "engines": { "node": "24.x" } }');
    writeFileSync(path.join(folder, 'Procfile'), 'web: node server.js\n');
    await platform.git(folder, ['init', '--quiet', '--initial-branch=main']);
    await platform.commit(folder, 'Probe');
    for (const name of ['probe', 'other']) {
      expect((await platform.api('POST', '/apps', { name })).status).toBe(201);
      const pushed = await platform.push(folder, name);
      expect({ exitCode: pushed.exitCode, stderr: pushed.exitCode === 0 ? '' : pushed.stderr }).toEqual({
        exitCode: 0,
        stderr: '',
      });
      await eventually(
        `${name} answers`,
        async () => (await platform.visit(name, '/?status')).status === 200,
      );
    }
  });
  afterAll(() => platform.destroy());

  const probe = async (host: string, port: number): Promise<string> =>
    (await platform.visit('probe', `/?host=${host}&port=${port}`)).body;

  /** Address and port of an app's web dyno, as its route has them. */
  function endpointOf(app: string): { host: string; port: number } {
    const table = JSON.parse(readFileSync(path.join(platform.data, 'run', 'routes.json'), 'utf8')) as {
      apps: { app_name: string; dynos: { endpoint: { host: string; port: number } }[] }[];
    };
    const endpoint = table.apps.find(({ app_name }) => app_name === app)?.dynos[0]?.endpoint;
    if (endpoint === undefined) throw new Error(`${app} has no endpoint`);
    return endpoint;
  }

  test('reaches itself, so that what follows means something', async () => {
    const { host, port } = endpointOf('probe');
    expect(await probe(host, port)).toBe('connected');
  });

  test('does not reach the dynos of another app', async () => {
    const { host, port } = endpointOf('other');
    expect(await probe(host, port)).toMatch(/timed out|EHOSTUNREACH|ECONNREFUSED/);
  });

  test('reaches neither the API nor the router on the host, nor an engine', async () => {
    const gateway = (await platform.visit('probe', '/?gateway')).body;
    expect(gateway).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
    for (const port of [platform.apiPort, platform.httpPort, 2375, 2376]) {
      expect(await probe(gateway, port)).toMatch(/timed out|ECONNREFUSED|EHOSTUNREACH/);
    }
  });

  test('runs without privileges: not as root, no capability, none to gain, system calls filtered', async () => {
    const status = (await platform.visit('probe', '/?status')).body;
    expect(status).toMatch(/^Uid:\t10001\t/m);
    expect(status).toMatch(/^CapEff:\t0+$/m);
    expect(status).toMatch(/^CapBnd:\t0+$/m);
    expect(status).toMatch(/^NoNewPrivs:\t1$/m);
    expect(status).toMatch(/^Seccomp:\t2$/m);
  });
});
