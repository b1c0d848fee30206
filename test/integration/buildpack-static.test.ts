import { SlugBench, example, type Build, type Files } from '../support/slug-bench';

const bench = new SlugBench();

beforeAll(() => bench.start(), 10 * 60_000);
afterEach(() => bench.clear(), 60_000);

jest.setTimeout(300_000);

async function compiled(app: Files): Promise<Build> {
  const build = await bench.build('static', app);
  const { exitCode, output } = await build.compile('static');
  if (exitCode !== 0) throw new Error(output);
  return build;
}

function aSite(config: object, files: Files = {}): Files {
  return { 'static.json': JSON.stringify(config), 'public_html/index.html': 'index', ...files };
}

function header(answer: { headers: string }, name: string): string | undefined {
  return new RegExp(`^${name}: (.*?)\\r?$`, 'im').exec(answer.headers)?.[1];
}

describe('the static buildpack', () => {
  it.each<[string, Files, boolean]>([
    ['static.json, whatever else is there', { 'static.json': '{}', Procfile: 'web: perl x.pl\n' }, true],
    ['index.html', { 'index.html': '' }, true],
    [
      'public/index.html with a Procfile without web',
      { 'public/index.html': '', Procfile: 'clock: date\n' },
      true,
    ],
    ['_site/index.html', { '_site/index.html': '' }, true],
    ['nothing of the kind', { 'README.md': '' }, false],
    ['a program that serves the pages itself', { 'index.html': '', Procfile: 'web: perl x.pl\n' }, false],
    ['another language', { 'index.html': '', 'build.gradle': '' }, false],
    ['another language by the end of its name', { 'index.html': '', 'app.csproj': '' }, false],
  ])('answers for %s', async (_, app, expected) => {
    const build = await bench.build('static', app);
    expect(await build.detect('static')).toEqual(
      expected ? { exitCode: 0, output: 'Static\n' } : { exitCode: 1, output: '' },
    );
  });

  it('serves the example, and ends on SIGTERM', async () => {
    const build = await bench.build('static', await example('static-spa'));
    const { exitCode, output } = await build.compile('static');
    expect(output).toBe(
      '-----> Installing the web server\n       Using nginx 1.22.1\n\n-----> Checking static.json\n       Serving the folder public\n\n',
    );
    expect(exitCode).toBe(0);
    expect(await build.defaultProcessTypes('static')).toEqual({ web: 'bin/boot' });

    const dyno = await build.dyno('bin/boot');
    const index = await dyno.get('/');
    expect(index.status).toBe(200);
    expect(index.body).toContain('<title>static-spa</title>');
    expect(header(index, 'Content-Type')).toBe('text/html; charset=UTF-8');
    expect(header(index, 'Cache-Control')).toBe('no-cache');
    expect(header(index, 'X-Content-Type-Options')).toBe('nosniff');
    expect(header(index, 'Server')).toBe('nginx');
    const route = await dyno.get('/about/us?x=1');
    expect(route).toMatchObject({ status: 200, body: index.body });
    expect(header(route, 'Cache-Control')).toBe('no-cache');
    const script = await dyno.get('/app.js', { headers: ['Accept-Encoding: gzip'] });
    expect(header(script, 'Content-Encoding')).toBe('gzip');
    expect(header(script, 'Cache-Control')).toBe('public, max-age=3600');
    expect((await dyno.get('/assets/none.png')).body).toContain('There is no such asset');
    const redirect = await dyno.get('/home');
    expect([redirect.status, header(redirect, 'Location')]).toEqual([302, '/']);
    expect(await dyno.stop()).toBe(0);
    expect(await dyno.log()).toMatch(
      /^Serving on port 5000$[^]*"GET \/about\/us\?x=1 HTTP\/1\.1" 200[^]*^SIGTERM received, closing$/m,
    );
  });

  it('shows nothing but the pages', async () => {
    const build = await compiled({
      'index.html': 'root',
      'static.json': '{"root": "."}',
      Procfile: 'clock: date\n',
      '.env': 'SECRET=1',
      'sub/.git/config': 'secret',
      '.well-known/thing': 'public',
      'empty/x.txt': 'x',
    });
    await build.run('cd /tmp/build_a1b2c3 && ln -s /etc/passwd passwd && ln -s index.html link.html');
    const dyno = await build.dyno('bin/boot');
    for (const path of [
      '/.env',
      '/%2eenv',
      '/sub/.git/config',
      '/.heroku/static/boot',
      '/.profile.d/',
      '/static.json',
      '/Procfile',
      '/empty/',
      '/none',
    ]) {
      expect([path, (await dyno.get(path)).status]).toEqual([path, 404]);
    }
    for (const path of [
      '/../../etc/passwd',
      '/%2e%2e/%2e%2e/etc/passwd',
      '/sub/..%2f..%2f..%2fetc/passwd',
      '/passwd',
    ]) {
      const answer = await dyno.get(path);
      expect([path, answer.status]).not.toEqual([path, 200]);
      expect(answer.body).not.toContain('root:');
    }
    expect((await dyno.get('/.well-known/thing')).body).toBe('public');
    expect((await dyno.get('/link.html')).body).toBe('root');
  });

  it('knows clean URLs, folders, an error page, redirects with patterns and a canonical host', async () => {
    const build = await compiled(
      aSite(
        {
          clean_urls: true,
          error_page: 'errors/404.html',
          redirects: {
            '/old/**': { url: 'https://${NEW_HOST}/new?a=$1' },
            '/exact': { url: '/there', status: 307 },
          },
          canonical_host: '${HOST_NAME}',
          https_only: true,
          headers: { '/about': { 'X-Price': '5$ "net"' } },
          encoding: 'utf-8',
        },
        {
          'public_html/about.html': 'about',
          'public_html/docs/index.html': 'docs',
          'public_html/errors/404.html': 'not here',
        },
      ),
    );
    const dyno = await build.dyno('bin/boot', {
      env: { NEW_HOST: 'new.example.com', HOST_NAME: 'app.localhost' },
    });
    const at = (path: string): ReturnType<typeof dyno.get> =>
      dyno.get(path, { headers: ['Host: app.localhost:6780', 'X-Forwarded-Proto: http'] });
    const about = await at('/about');
    expect(about).toMatchObject({ status: 200, body: 'about' });
    expect(header(about, 'X-Price')).toBe('5$ "net"');
    expect(await at('/docs/')).toMatchObject({ status: 200, body: 'docs' });
    expect(header(await at('/docs'), 'Location')).toBe('/docs/');
    expect(await at('/nowhere')).toMatchObject({ status: 404, body: 'not here' });
    const old = await at('/old/a/b');
    expect([old.status, header(old, 'Location')]).toEqual([301, 'https://new.example.com/new?a=$1']);
    expect((await at('/exact')).status).toBe(307);
    const elsewhere = await dyno.get('/x?y=1', { headers: ['Host: other.localhost:6780'] });
    expect([elsewhere.status, header(elsewhere, 'Location')]).toEqual([
      301,
      'http://app.localhost:6780/x?y=1',
    ]);
    expect(await dyno.log()).toContain('https_only in static.json has no effect here');
  });

  it('redirects to https where that is wanted', async () => {
    const build = await compiled(aSite({ https_only: true }));
    const dyno = await build.dyno('bin/boot', { env: { STATIC_HTTPS_ONLY: 'true' } });
    const answer = await dyno.get('/a?b', { headers: ['Host: app.localhost', 'X-Forwarded-Proto: http'] });
    expect([answer.status, header(answer, 'Location')]).toEqual([301, 'https://app.localhost/a?b']);
    expect((await dyno.get('/', { headers: ['X-Forwarded-Proto: https'] })).status).toBe(200);
  });

  it('passes on to an origin, which need not be there at start', async () => {
    const build = await compiled(
      aSite({
        proxies: { '/api/': { origin: '${ORIGIN}/base' }, '/gone/': { origin: 'http://gone.example.com' } },
      }),
    );
    const dyno = await build.dyno('bin/boot', { env: { ORIGIN: 'http://127.0.0.1:7000' } });
    expect((await dyno.get('/gone/x')).status).toBe(502);
    await dyno.run(
      `cat > /tmp/origin.py <<'PYTHON'
from http.server import *
class H(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(("%s %s" % (self.headers['Host'], self.path)).encode())
HTTPServer(('127.0.0.1', 7000), H).serve_forever()
PYTHON
      (setsid python3 /tmp/origin.py > /dev/null 2>&1 &) ; until curl -s -o /dev/null http://127.0.0.1:7000; do sleep 0.1; done`,
    );
    expect((await dyno.get('/api/a%20b?c=d')).body).toBe('127.0.0.1:7000 /base/a%20b?c=d');
  });

  it.each<[string, Files, RegExp]>([
    [
      'a malformed static.json, with the line',
      { 'static.json': '{\n  "root": "x"\n  "routes": {}\n}\n' },
      / ! {5}static\.json is not valid JSON:\n ! {5}.*line 3/,
    ],
    ['one that is no object', { 'static.json': '[]' }, / ! {5}static\.json must contain a JSON object\.\n/],
    [
      'a root that is not there',
      { 'static.json': '{"root": "x"}' },
      / ! {5}root in static\.json is no folder of the app: x\n/,
    ],
    [
      'a root outside of the app',
      { 'static.json': '{"root": "../.."}' },
      / ! {5}root in static\.json leaves the app's folder: /,
    ],
    [
      'a route to no page',
      aSite({ routes: { '/**': 'x.html' } }),
      / ! {5}routes\["\/\*\*"\] in static\.json names a file that is not in public_html: x\.html\n/,
    ],
    [
      'a flag that is none',
      aSite({ clean_urls: 'yes' }),
      / ! {5}clean_urls in static\.json must be true or false\.\n/,
    ],
    [
      'a status that is none',
      aSite({ redirects: { '/a': { url: '/b', status: 200 } } }),
      / ! {5}redirects\["\/a"\]\.status in static\.json is no status of a redirect: 200\n/,
    ],
    [
      'a header that is none',
      aSite({ headers: { '/': { 'X Y': 'z' } } }),
      / ! {5}headers\["\/"\] in static\.json has a header of no valid name: X Y\n/,
    ],
    [
      'an origin that is none',
      aSite({ proxies: { '/a/': { origin: 'x' } } }),
      / ! {5}proxies\["\/a\/"\]\.origin in static\.json is no http or https URL\.\n/,
    ],
    [
      'passwords, which it would not ask for',
      aSite({ basic_auth: true }),
      / ! {5}basic_auth in static\.json is not supported\.\n/,
    ],
  ])('fails for %s', async (_, app, message) => {
    const build = await bench.build('static', app);
    const { exitCode, output } = await build.compile('static');
    expect(output).toMatch(message);
    expect(exitCode).toBe(1);
  });

  it('names what it does not know, and leaves a bin/boot of the app alone', async () => {
    const build = await bench.build('static', aSite({ colour: 'red' }, { 'bin/boot': '#!/bin/sh\n' }));
    const { exitCode, output } = await build.compile('static');
    expect(output).toContain(' !     The app has a bin/boot of its own');
    expect(output).toContain(' !     colour in static.json is not known and has no effect.\n');
    expect(exitCode).toBe(0);
  });
});
