import { SlugBench, BUILD_DIR, example, type Build, type Files } from '../support/slug-bench';

const bench = new SlugBench();

beforeAll(() => bench.start(), 10 * 60_000);
afterEach(() => bench.clear(), 60_000);

jest.setTimeout(180_000);

const PROBE = `<?php
header('Content-Type: application/json');
echo json_encode(['limit' => ini_get('memory_limit'), 'https' => $_SERVER['HTTPS'] ?? null, 'host' => $_SERVER['HTTP_HOST'],
  'auth' => $_SERVER['PHP_AUTH_USER'] ?? null, 'env' => $_ENV['GREETING'] ?? null, 'path' => $_SERVER['PATH_INFO'] ?? null,
  'body' => file_get_contents('php://input'), 'ini' => ini_get('date.timezone'), 'fpm' => ini_get('user_agent'),
  'script' => $_SERVER['SCRIPT_NAME']]);
error_log('probed');
fwrite(fopen('php://stderr', 'w'), "to stderr\\n");
`;

async function compiled(app: Files): Promise<Build> {
  const build = await bench.build('php', app);
  const { exitCode, output } = await build.compile('php');
  if (exitCode !== 0) throw new Error(output);
  return build;
}

/** A lock file as Composer makes it where only path repositories are used. */
async function lock(build: Build): Promise<void> {
  const { exitCode, output } = await build.run(
    `cd ${BUILD_DIR} && COMPOSER_HOME=/tmp/composer composer update --no-install --no-interaction`,
  );
  if (exitCode !== 0) throw new Error(output);
}

function aPackage(name: string, more: object = {}): string {
  return JSON.stringify({ name, version: '1.0.0', ...more });
}

describe('the php buildpack', () => {
  it('claims an app with composer.json or index.php', async () => {
    const build = await bench.build('php', { 'index.html': '' });
    expect((await build.detect('php')).exitCode).toBe(1);
    await build.change({ 'index.php': '' });
    expect(await build.detect('php')).toEqual({ exitCode: 0, output: 'PHP\n' });
    expect(await build.defaultProcessTypes('php')).toEqual({ web: 'heroku-php-apache2' });
    await build.change({ Procfile: 'web: vendor/bin/heroku-php-nginx\n' });
    expect(await build.defaultProcessTypes('php')).toBeUndefined();
  });

  it('installs from a path repository, runs the compile script, and serves with Apache', async () => {
    const build = await bench.build('php', await example('php'));
    const { exitCode, output } = await build.compile('php');
    expect(output).toMatch(
      /-----> Preparing platform\n {7}- php \(8\.2\.\d+\)\n {7}- ext-mbstring\n[^]*-----> Installing dependencies\n {7}Composer version 2\.5[^]*Installing example\/greeting \(1\.0\.0\)[^]*-----> Running 'composer compile'\n/,
    );
    expect(exitCode).toBe(0);
    expect((await build.run(`grep -rl ${BUILD_DIR} ${BUILD_DIR} | grep -v packages`)).output).toBe('');

    const dyno = await build.dyno('vendor/bin/heroku-php-apache2 web/');
    const answer = await dyno.get('/?name=Ada');
    expect(answer).toMatchObject({ status: 200, body: 'Hello Ada from PHP 8.2 on web.1\n' });
    // .htaccess sends what is no file to index.php.
    expect(await dyno.get('/shout')).toMatchObject({ status: 200, body: 'HELLO SOMEBODY\n' });
    expect(await dyno.get('/nowhere')).toMatchObject({ status: 404, body: 'There is nothing at /nowhere\n' });
    expect(await dyno.get('/built.txt')).toMatchObject({ body: 'built by composer compile' });
    expect((await dyno.get('/.htaccess')).status).toBe(403);
    expect((await dyno.get('/../composer.json')).status).not.toBe(200);
    expect(await dyno.stop()).toBe(0);
    const log = await dyno.log();
    expect(log).toContain(
      "DOCUMENT_ROOT changed to 'web/'\n4 processes at 128MB memory limit (512MB available).\n",
    );
    expect(log).toContain('404 /nowhere');
    expect(log).toMatch(/"GET \/shout HTTP\/1\.1" 200/);
    expect(log).toContain('SIGTERM received, attempting graceful shutdown...\n');
  });

  it.each(['apache2', 'nginx'])('serves an index.php without composer.json with %s', async (server) => {
    const build = await compiled({
      'index.php': PROBE,
      'sub/page.php': PROBE,
      'plain.txt': 'plain',
      '.env': 'SECRET=1',
      '.user.ini': 'memory_limit=64M\n',
      'vendor/secret.txt': 'secret',
    });
    const dyno = await build.dyno(`heroku-php-${server}`, { env: { GREETING: 'hello' } });
    const answer = await dyno.get('/sub/page.php/more?x=1', {
      headers: ['X-Forwarded-Proto: https', 'Host: app.localhost:6780', 'Authorization: Basic YWRhOmFkYQ=='],
      data: 'posted',
    });
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.body)).toEqual({
      limit: '64M',
      https: 'on',
      host: 'app.localhost:6780',
      auth: 'ada',
      env: 'hello',
      path: '/more',
      body: 'posted',
      ini: 'UTC',
      fpm: '',
      script: '/sub/page.php',
    });
    expect(await dyno.get('/plain.txt')).toMatchObject({ status: 200, body: 'plain' });
    expect((await dyno.get('/')).status).toBe(200);
    expect((await dyno.get('/none.php')).status).toBe(404);
    expect((await dyno.get('/none')).status).toBe(404);
    for (const hidden of ['/.env', '/.heroku/php/etc/heroku.ini', '/vendor/secret.txt', '/.user.ini']) {
      expect([hidden, (await dyno.get(hidden)).status]).toEqual([hidden, 403]);
    }
    expect(await dyno.stop()).toBe(0);
    const log = await dyno.log();
    // .user.ini halves the limit, twice as many fit.
    expect(log).toContain('8 processes at 64MB memory limit');
    expect(log).toContain('probed');
    expect(log).toContain('to stderr\n');
  });

  it.each([
    ['apache2', 'Header set X-Included yes\n'],
    ['nginx', 'add_header X-Included yes;\nlocation / { try_files $uri /index.php$is_args$args; }\n'],
  ])('takes its options with %s', async (server, include) => {
    const build = await compiled({
      'composer.json': '{}',
      'public/index.php': PROBE,
      'conf/server.conf': include,
      'conf/fpm.conf.php': '<?php echo "php_value[user_agent] = from-", "fpm\\n";',
      'conf/php.ini': 'date.timezone = Europe/Berlin\n',
    });
    const dyno = await build.dyno(
      `vendor/bin/heroku-php-${server} -C conf/server.conf -F conf/fpm.conf.php -i conf/php.ini -l /tmp/app.log -p 5000 public`,
      { env: { WEB_CONCURRENCY: '2', PORT: '6000' } },
    );
    const answer = await dyno.get('/');
    expect(JSON.parse(answer.body)).toMatchObject({ ini: 'Europe/Berlin', fpm: 'from-fpm' });
    expect(answer.headers).toMatch(/^x-included: yes\r?$/im);
    expect(await dyno.run('pgrep -fc "[p]hp-fpm: pool"')).toBe('2');
    await dyno.run('echo followed >> /tmp/app.log; sleep 1.5');
    expect(await dyno.stop()).toBe(0);
    expect(await dyno.log()).toMatch(/^Using WEB_CONCURRENCY=2$[^]*^followed$/m);
  });

  it.each(['apache2', 'nginx'])('lets requests end on SIGTERM with %s', async (server) => {
    const build = await compiled({
      'index.php': '<?php file_put_contents("/tmp/began", ""); sleep(3); echo "slow";',
      'quick.php': '<?php echo "quick";',
    });
    const dyno = await build.dyno(`heroku-php-${server}`);
    await dyno.get('/quick.php');
    const slow = dyno.run('curl -s http://127.0.0.1:5000/; true');
    await dyno.run('until [[ -e /tmp/began ]]; do sleep 0.05; done; pkill -TERM -f "bin/heroku-php-"; true');
    expect(await slow).toContain('slow');
  });

  it('ends when PHP-FPM does, or cannot begin', async () => {
    const build = await compiled({ 'index.php': PROBE, 'broken.conf': 'nonsense here\n' });
    const dyno = await build.dyno('heroku-php-apache2');
    await dyno.get('/');
    await dyno.run('pkill -KILL -o php-fpm');
    expect(await dyno.output()).toContain('Process exited unexpectedly: php-fpm');
    expect(await (await build.dyno('heroku-php-nginx -C broken.conf')).output()).toContain(
      'Process exited unexpectedly: nginx',
    );
    expect(await (await build.dyno('heroku-php-nginx nowhere')).output()).toBe(
      'heroku-php-nginx: the document root is no folder: nowhere',
    );
    expect(await (await build.dyno('heroku-php-apache2 -t')).output()).toContain('Syntax OK');
  });

  it('keeps the token for GitHub out of slug, output and cache', async () => {
    const build = await bench.build('php', { 'composer.json': '{}', 'index.php': '' });
    await build.configVars({ COMPOSER_GITHUB_OAUTH_TOKEN: 'ghp_secret' });
    const { output } = await build.compile('php');
    expect(output).toContain('Using the token in COMPOSER_GITHUB_OAUTH_TOKEN');
    expect(output).not.toContain('ghp_secret');
    expect((await build.run(`grep -rl ghp_secret ${BUILD_DIR} /cache`)).output).toBe('');
  });

  it('takes a committed vendor folder and packages of type artifact without a network', async () => {
    const build = await bench.build('php', {
      'composer.json': JSON.stringify({
        require: { 'example/zipped': '1.0.0' },
        repositories: [{ type: 'artifact', url: 'artifacts' }, { 'packagist.org': false }],
      }),
      'index.php': '<?php require "vendor/autoload.php"; echo example_zipped();',
    });
    await build.put('/tmp/zipped', {
      'composer.json': aPackage('example/zipped', { autoload: { files: ['f.php'] } }),
      'f.php': '<?php function example_zipped() { return "from an artifact"; }',
    });
    await build.run(
      `mkdir ${BUILD_DIR}/artifacts && cd /tmp/zipped && zip -qr ${BUILD_DIR}/artifacts/zipped.zip .`,
    );
    await lock(build);
    const first = await build.compile('php');
    expect(first.output).toContain('Installing example/zipped (1.0.0)');
    expect(first.exitCode).toBe(0);
    // Now it is as if committed.
    await build.run(`rm -r ${BUILD_DIR}/artifacts; mkdir ${BUILD_DIR}/artifacts; rm -rf /cache/data`);
    const second = await build.compile('php');
    expect(second.output).toContain('Nothing to install, update or remove');
    expect(second.output).toContain(' !     The folder vendor is part of the repository');
    expect(second.exitCode).toBe(0);
    const dyno = await build.dyno('heroku-php-apache2');
    expect((await dyno.get('/')).body).toBe('from an artifact');
  });

  it('runs tests with the development dependencies', async () => {
    const build = await bench.build('php', {
      'composer.json': JSON.stringify({
        'require-dev': { 'example/runner': '1.0.0' },
        repositories: [{ type: 'path', url: 'runner' }, { 'packagist.org': false }],
      }),
      'runner/composer.json': aPackage('example/runner', { bin: ['phpunit'] }),
      'runner/phpunit': '#!/bin/sh\necho tests ran $GREETING\nexit 3\n',
      'phpunit.xml.dist': '',
    });
    await lock(build);
    await build.configVars({ GREETING: 'hello' });
    const { exitCode, output } = await build.test('php');
    expect(output).toMatch(/-----> Running: vendor\/bin\/phpunit\ntests ran hello\n$/);
    expect(exitCode).toBe(3);
    // Not with those of a build.
    await build.compile('php');
    expect((await build.run(`ls ${BUILD_DIR}/vendor/bin`)).output).toBe(
      'heroku-php-apache2\nheroku-php-nginx\n',
    );
    await build.change({
      'composer.json': JSON.stringify({ scripts: { test: 'echo from composer' } }),
    });
    await build.run(`rm ${BUILD_DIR}/composer.lock`);
    expect((await build.test('php')).output).toContain('from composer\n');
  });

  it.each([
    [
      'a malformed composer.json, with the line',
      { 'composer.json': '{\n  "name": "a/b"\n  "type": "project"\n}\n' },
      / ! {5}composer\.json is not valid JSON:\n ! {5}.*line 3/,
    ],
    [
      'a composer.json that is no object',
      { 'composer.json': '[]' },
      / ! {5}composer\.json must contain a JSON object\.\n/,
    ],
    [
      'dependencies without a lock file',
      { 'composer.json': '{"require": {"monolog/monolog": "^3"}}' },
      / ! {5}ERROR: Your composer\.json lists dependencies inside 'require', but there is no 'composer\.lock'\.\n/,
    ],
    [
      'another PHP, with what is there',
      { 'composer.json': '{"require": {"php": "^8.4"}}' },
      / ! {5}The app \(composer\.json\) requires php \^8\.4, but version 8\.2\.\d+ is installed\.\n ! {5}Available: PHP 8\.2\.\d+ with these extensions:\n ! {5}apcu bcmath/,
    ],
    [
      'a constraint that is none',
      { 'composer.json': '{"require": {"php": "banana"}}' },
      / ! {5}The app \(composer\.json\) requires php banana, which is no version constraint/,
    ],
    [
      'an extension that is not there',
      { 'composer.json': '{"require": {"ext-swoole": "*", "ext-opcache": "*"}}' },
      / ! {5}The app \(composer\.json\) requires the extension swoole, which is not available\.\n/,
    ],
    [
      'a package that needs another PHP',
      {
        'composer.json': '{"require": {"a/b": "*"}}',
        'composer.lock': JSON.stringify({
          packages: [{ name: 'a/b', version: '1', require: { php: '>=9' } }],
        }),
      },
      / ! {5}a\/b requires php >=9, but version/,
    ],
    [
      'a lock file that is none',
      { 'composer.json': '{}', 'composer.lock': '{' },
      / ! {5}composer\.lock is not valid JSON:/,
    ],
    [
      'a failing compile script',
      { 'composer.json': '{"scripts": {"compile": "echo the reason; exit 3"}}' },
      / {7}the reason\n[^]* ! {5}The script "compile" of composer\.json failed/,
    ],
  ])('fails for %s', async (_, app: Files, message) => {
    const build = await bench.build('php', app);
    const { exitCode, output } = await build.compile('php');
    expect(output).toMatch(message);
    expect(exitCode).toBe(1);
  });

  it('names the host that cannot be reached, and a lock file that does not fit', async () => {
    const dist = { type: 'zip', url: 'https://packages.example.com/b.zip', reference: '1', shasum: '' };
    const locked = { packages: [{ name: 'a/b', version: '1.0.0', dist, type: 'library' }] };
    const build = await bench.build('php', {
      'composer.json': '{"require": {"a/b": "1.0.0"}}',
      'composer.lock': JSON.stringify(locked),
    });
    expect((await build.compile('php')).output).toContain(
      ' !     packages.example.com could not be reached: is the network down?\n',
    );
    await build.change({ 'composer.json': '{"require": {"a/b": "1.0.0", "c/d": "1.0.0"}}' });
    expect((await build.compile('php')).output).toContain(
      ' !     composer.json and composer.lock do not fit together: run composer update on your machine and\n',
    );
  });
});
