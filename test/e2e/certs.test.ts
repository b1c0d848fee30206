import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { connect, type PeerCertificate } from 'node:tls';
import { eventually, execute, TestPlatform, words, type CommandResult } from '../support/platform';
import { makeCertificate, type TestCertificate } from '../support/certificates';
import { writeFiles } from '../support/git-repository';
import { sampleApp } from '../support/sample-app';
import { Terminal } from '../support/terminal';

jest.setTimeout(120_000);

const platform = new TestPlatform();
let folder: string;

function heroku(...args: string[]): Promise<CommandResult> {
  return platform.heroku([...args, '--app', 'shop'], { cwd: folder });
}

async function output(...args: string[]): Promise<string> {
  const result = await heroku(...args);
  expect({ args, ...result }).toMatchObject({ exitCode: 0 });
  return words(result);
}

async function failure(...args: string[]): Promise<string> {
  const result = await heroku(...args);
  expect(result.exitCode).toBeGreaterThan(0);
  return words(result);
}

/** As a user's shell would, with the CA that `dynodock env` names. */
async function curl(host: string, ...args: string[]): Promise<CommandResult> {
  return execute('curl', [
    '--silent', '--show-error', '--cacert', platform.clientEnvironment.NODE_EXTRA_CA_CERTS ?? '',
    '--connect-to', `${host}:443:127.0.0.1:${platform.httpsPort}`, ...args, `https://${host}/`,
  ]); // prettier-ignore
}

/** What the router shows for a host, trusted or not. */
function shownCertificate(host: string): Promise<PeerCertificate> {
  return new Promise((resolve, reject) => {
    const socket = connect(
      { host: '127.0.0.1', port: platform.httpsPort, servername: host, rejectUnauthorized: false },
      () => {
        resolve(socket.getPeerCertificate());
        socket.destroy();
      },
    );
    socket.once('error', reject);
  });
}

function save(name: string, { cert, key }: TestCertificate): [crt: string, key: string] {
  writeFiles(folder, { [`${name}.crt`]: cert, [`${name}.key`]: key });
  return [path.join(folder, `${name}.crt`), path.join(folder, `${name}.key`)];
}

async function onlyName(): Promise<string> {
  const { body } = await platform.api('GET', '/apps/shop/sni-endpoints');
  expect(body).toHaveLength(1);
  return (body as { name: string }[])[0]?.name ?? '';
}

beforeAll(async () => {
  await platform.start();
  folder = await platform.repository(sampleApp('one'));
  expect(await platform.heroku(['create', 'shop'], { cwd: folder })).toMatchObject({ exitCode: 0 });
}, 180_000);
afterAll(() => platform.destroy(), 120_000);

describe('https', () => {
  test('works for a new app and its domains at once, for clients that trust the CA', async () => {
    await eventually('the certificate', async () => (await curl('shop.localhost')).exitCode === 0);
    expect((await curl('shop.localhost')).stdout).toContain('Welcome to shop');
    await output('domains:add', '*.example.com');
    await eventually('its certificate', async () => (await curl('any.example.com')).exitCode === 0);
    expect((await curl('any.example.com')).stdout).toContain('Welcome to shop');
    await output('domains:remove', '*.example.com');
    await eventually('it to be gone', async () => (await curl('any.example.com')).exitCode === 60);
  });

  test('serves a deployed app, which knows of it', async () => {
    expect(await platform.push(folder, 'shop')).toMatchObject({ exitCode: 0 });
    await eventually('the app', async () => (await curl('shop.localhost')).stdout === 'one');
    const { stdout } = await curl('shop.localhost', '--write-out', ' %{http_version}');
    expect(stdout).toBe('one 2');
    await eventually('the log line', async () =>
      (await heroku('logs')).stdout.match(
        /heroku\[router\]: .* status=200 .* protocol=http2\.0 tls=true tls_version=tls1\.3/,
      ),
    );
  });

  test('goes on while the daemon restarts, with the same certificate', async () => {
    const before = await shownCertificate('shop.localhost');
    await platform.stopDaemon('SIGKILL');
    expect((await curl('shop.localhost')).stdout).toBe('one');
    platform.startDaemon();
    await platform.untilAnswering();
    expect((await shownCertificate('shop.localhost')).fingerprint).toBe(before.fingerprint);
  });
});

describe('heroku certs', () => {
  test('none, at first; automatic ones are neither needed nor to be had', async () => {
    expect(await output('certs')).toContain('shop has no SSL certificates.');
    expect(await failure('certs:info')).toContain('shop has no SSL certificates');
    expect(await output('certs:auto')).toContain('Automatic Certificate Management is disabled on shop');
    expect(await failure('certs:auto:enable')).toContain('dynodock has no Automated Certificate Management');
  });

  test('are generated, added, and served for the domains that get them', async () => {
    expect(await output('certs:generate', 'www.example.com', '--selfsigned', '--now')).toContain(
      'heroku certs:add www.example.com.crt www.example.com.key',
    );
    const crt = path.join(folder, 'www.example.com.crt');
    const added = await output('certs:add', crt, path.join(folder, 'www.example.com.key'));
    expect(added).toContain('Common Name(s): www.example.com');
    expect(added).toContain('SSL certificate is self signed.');
    const name = await onlyName();
    expect(await output('domains:add', 'www.example.com', '--cert', name)).toContain('shop.localhost');
    await eventually(
      'the certificate',
      async () => (await shownCertificate('www.example.com')).issuer.CN === 'www.example.com',
    );
    const { stdout } = await execute('openssl', ['x509', '-in', crt, '-noout', '-fingerprint', '-sha256']);
    expect(stdout).toContain((await shownCertificate('www.example.com')).fingerprint256);
    expect(await output('certs')).toMatch(
      new RegExp(`${name} www\\.example\\.com \\S+ \\S+ UTC False SNI 1`),
    );
    expect(await output('certs:info', '--show-domains')).toMatch(/Domain\(s\): www\.example\.com/);
    expect(await output('domains')).toContain(`www.example.com CNAME shop.localhost ${name}`);
    expect(await output('certs:generate', 'www.example.com', '--now')).toContain(
      'heroku certs:update CERTFILE',
    );
  });

  test('are replaced under the same name, by a chain of any order', async () => {
    const name = await onlyName();
    const root = await makeCertificate({ subject: 'C=DE, O=Test, CN=Test Root', authority: true });
    const between = await makeCertificate({ subject: 'CN=Between', authority: true, issuer: root });
    const leaf = await makeCertificate({ names: ['www.example.com'], issuer: between });
    const files = save('chain', { ...leaf, cert: between.cert + leaf.cert });
    const updated = await output('certs:update', ...files, '--confirm', 'shop');
    expect(updated).toContain('Issuer: /CN=Between');
    expect(updated).toContain('SSL certificate is not trusted.');
    expect(await onlyName()).toBe(name);
    writeFiles(folder, { 'root.pem': root.cert });
    const client = ['--cacert', path.join(folder, 'root.pem')];
    await eventually('the chain', async () => (await curl('www.example.com', ...client)).exitCode === 0);
    expect((await curl('www.example.com', ...client)).stdout).toBe('one');
  });

  test('are refused with a reason, and never show the key', async () => {
    const leaf = await makeCertificate({ names: ['shop.example'] });
    const other = await makeCertificate({ names: ['other.example'] });
    const files = save('mixed', { ...leaf, key: other.key });
    expect(await failure('certs:add', ...files)).toContain(
      'The private key does not belong to the certificate.',
    );
    expect(await failure('certs:update', ...save('other', other), '--confirm', 'shop')).toContain(
      'The certificate is not for www.example.com',
    );
    expect(await failure('domains:add', 'else.example', '--cert', await onlyName())).toContain(
      'is not for else.example',
    );
    expect(await failure('domains:add', 'else.example', '--cert', 'nothing')).toContain(
      "Couldn't find that SNI endpoint.",
    );
    const day = 24 * 60 * 60 * 1000;
    const expired = await makeCertificate({
      names: ['old.example'],
      notBefore: new Date(Date.now() - 2 * day),
      notAfter: new Date(Date.now() - day),
    });
    expect(await output('certs:add', ...save('expired', expired))).toContain('This certificate has expired');
    const { body } = await platform.api('GET', '/apps/shop/sni-endpoints');
    const old = (body as { name: string; ssl_cert: { subject: string } }[]).find(
      ({ ssl_cert }) => ssl_cert.subject === '/CN=old.example',
    );
    expect(await output('certs:remove', '--name', old?.name ?? '', '--confirm', 'shop')).toContain('done');
    const secret = other.key.split('\n')[1] ?? '';
    expect(platform.daemonOutput + (await heroku('logs', '--num', '1500')).stdout).not.toContain(secret);
  });

  test('are removed, and the domain has one of the CA again', async () => {
    expect(await output('certs:remove', '--confirm', 'shop')).toContain('done');
    expect(await output('certs')).toContain('shop has no SSL certificates.');
    await eventually('the CA', async () => (await curl('www.example.com')).stdout === 'one');
    expect(await output('domains')).toMatch(/www\.example\.com CNAME shop\.localhost$/);
  });

  test('are associated with the domains chosen in a dialogue', async () => {
    const leaf = await makeCertificate({ names: ['*.example.com'] });
    const [crt, key] = save('wildcard', leaf);
    await output('domains:add', 'api.example.com');
    const terminal = new Terminal(`heroku certs:add ${crt} ${key} --app shop`, {
      env: platform.clientEnvironment,
      columns: 120,
      rows: 40,
    });
    try {
      await terminal.shows(/Select domains/);
      await terminal.shows(/api\.example\.com/);
      // All of them, then on.
      terminal.type('a');
      terminal.type('\r');
      expect(await terminal.ends()).toBe(0);
    } finally {
      terminal.kill();
    }
    const name = await onlyName();
    const domains = await output('domains');
    expect(domains).toContain(`api.example.com CNAME shop.localhost ${name}`);
    expect(domains).toContain(`www.example.com CNAME shop.localhost ${name}`);
    const { serialNumber } = leaf.certificate;
    await eventually('the certificate', async () =>
      (await shownCertificate('api.example.com')).serialNumber
        .toLowerCase()
        .endsWith(serialNumber.replace(/^0+/, '')),
    );
    await output('domains:add', 'later.example.com', '--cert', name);
    expect(await output('domains:update', 'api.example.com', '--cert', name)).toContain('done');
  });

  test('lie where only their owner can read them', () => {
    const apps = path.join(platform.data, 'tls', 'apps');
    expect(statSync(apps).mode & 0o777).toBe(0o700);
    expect(statSync(path.join(platform.data, 'tls', 'ca-key.pem')).mode & 0o777).toBe(0o600);
    expect(readFileSync(path.join(platform.data, 'run', 'routes.json'), 'utf8')).not.toContain('KEY-----');
  });
});
