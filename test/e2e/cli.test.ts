import { request } from 'node:http';
import { eventually, TestPlatform, words, type CommandResult } from '../support/platform';
import { sampleApp } from '../support/sample-app';

jest.setTimeout(120_000);

const platform = new TestPlatform();
let folder: string;

/** The CLI in the repository's folder, where it finds the app by the git remote. */
function heroku(...args: string[]): Promise<CommandResult> {
  return platform.heroku(args, { cwd: folder });
}

/** What a command that succeeds prints, warnings included. */
async function output(...args: string[]): Promise<string> {
  const result = await heroku(...args);
  expect({ args, ...result }).toMatchObject({ exitCode: 0 });
  return words(result);
}

/** What a command that fails prints. */
async function failure(...args: string[]): Promise<string> {
  const result = await heroku(...args);
  expect({ args, ...result }).toMatchObject({ stderr: expect.stringContaining('Error') });
  expect(result.exitCode).toBeGreaterThan(0);
  return words(result);
}

function untilAnswered(answer: string, path = '/'): Promise<unknown> {
  return eventually(`the answer ${answer}`, async () => (await platform.visit('shop', path)).body === answer);
}

function untilDynos(count: number): Promise<unknown> {
  return eventually(`${count} dynos`, async () => (await platform.containers('dyno')).length === count);
}

beforeAll(async () => {
  await platform.start();
  folder = await platform.repository(sampleApp('one'));
}, 180_000);
afterAll(() => platform.destroy(), 120_000);

describe('apps', () => {
  test('are created, with a git remote in the present folder', async () => {
    expect(await output('create', 'shop')).toContain(
      `http://shop.localhost:${platform.httpPort}/ | ${platform.remote('shop')}`,
    );
    const { stdout } = await platform.git(folder, ['remote', '--verbose']);
    expect(stdout).toContain(`heroku\t${platform.remote('shop')} (push)`);
  });

  test('get a name when none is given, which is free to be changed and to be destroyed', async () => {
    const created = await platform.heroku(['create'], { cwd: platform.dir });
    const name = /([a-z]+-[a-z]+-\d{5})\.localhost/.exec(created.stdout)?.[1] ?? '';
    expect(name).not.toBe('');
    expect(await output('apps')).toBe(`=== user@example.com Apps ${['shop', name].sort().join(' ')}`);

    expect(await output('apps:rename', 'renamed', '-a', name)).toContain(
      `http://renamed.localhost:${platform.httpPort}/ | ${platform.remote('renamed')}`,
    );
    expect((await platform.visit('renamed')).body).toContain('Welcome to renamed');
    expect((await platform.visit(name)).status).toBe(404);
    expect(await output('destroy', '--app', 'renamed', '--confirm', 'renamed')).toContain(
      'Destroying renamed (including all add-ons)... done',
    );
    expect(await output('apps')).toBe('=== user@example.com Apps shop');
  });

  test('do not take a name that is taken or that is none', async () => {
    expect(await failure('create', 'shop')).toContain('Name shop is already taken Error ID: invalid_params');
    expect(await failure('create', 'Bad_Name')).toContain(
      'Name must start with a letter, end with a letter or digit and can only contain lowercase letters, digits, and dashes',
    );
  });

  test('without code say so, to their visitors and to their owner', async () => {
    const { status, body } = await platform.visit('shop');
    expect({ status, body }).toMatchObject({ status: 503, body: expect.stringContaining('Welcome to shop') });
    expect(await output('ps')).toBe('No dynos on shop');
    expect(await failure('ps:scale', 'web=1')).toContain("Couldn't find that process type (web).");
  });

  test('that do not exist are not found', async () => {
    for (const args of [['apps:info'], ['logs'], ['ps'], ['destroy', '--confirm', 'nope']]) {
      expect(await failure(...args, '-a', 'nope')).toContain("Couldn't find that app. Error ID: not_found");
    }
  });
});

describe('a pushed app', () => {
  beforeAll(async () => {
    const { exitCode, stderr } = await platform.git(folder, ['push', 'heroku', 'main'], {
      timeoutMs: 120_000,
    });
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
  }, 150_000);

  test('answers at the URL that heroku open opens', async () => {
    const info = JSON.parse((await heroku('apps:info', '--json')).stdout) as { app: { web_url: string } };
    expect(info.app.web_url).toBe(`http://shop.localhost:${platform.httpPort}/`);
    expect(await output('open')).toContain(`Opening ${info.app.web_url}`);
    await untilAnswered('one');
  });

  test('is described', async () => {
    const info = await output('apps:info');
    for (const part of [
      '=== shop',
      `Git URL: ${platform.remote('shop')}`,
      `Web URL: http://shop.localhost:${platform.httpPort}/`,
      'Owner: user@example.com',
      'Region: us',
      'Dynos: web: 1',
      'Stack: heroku-24',
    ]) {
      expect(info).toContain(part);
    }
    expect(await output('ps')).toMatch(/^=== web \(Eco\): node server\.js \(1\) web\.1: up /);
  });

  test('is scaled', async () => {
    expect(await output('ps:scale', 'web=2')).toBe('Scaling dynos... done, now running web at 2:Eco');
    expect(await output('ps:scale', 'web+1', 'worker=1')).toBe(
      'Scaling dynos... done, now running web at 3:Eco, worker at 1:Eco',
    );
    await eventually('four dynos', async () => {
      const { stdout } = await heroku('ps');
      return /web\.1: up[^]*web\.2: up[^]*web\.3: up[^]*worker\.1: up/.test(stdout);
    });
    expect(await output('ps:scale', 'web=1', 'worker=0')).toContain('web at 1:Eco, worker at 0:Eco');
    await untilDynos(1);
    expect(await output('ps:scale')).toBe('web=1:Eco worker=0:Eco');
  });

  test('is not scaled to what cannot be', async () => {
    expect(await failure('ps:scale', 'clock=1')).toContain("Couldn't find that process type (clock).");
    expect(await failure('ps:scale', 'web=1000')).toContain('an app can have at most 100');
    expect(await failure('ps:type', 'web=gigantic')).toContain('No such size as gigantic');
    expect(await output('ps:scale')).toBe('web=1:Eco worker=0:Eco');
  });

  test('is restarted, as a whole or dyno by dyno', async () => {
    const [before] = await platform.containers('dyno');
    expect(await output('ps:restart')).toBe('Restarting all dynos on shop... done');
    await eventually('another container', async () => {
      const containers = await platform.containers('dyno');
      return containers.length === 1 && containers[0] !== before;
    });
    expect(await output('ps:restart', '--dyno-name', 'web.1')).toContain(
      'Restarting dyno web.1 on shop... done',
    );
    expect(await failure('ps:restart', '--dyno-name', 'web.9')).toContain("Couldn't find that dyno.");
    await untilAnswered('one');
    expect(await output('ps:wait')).toBe('');
  });

  test('gets another dyno size', async () => {
    expect(await output('ps:type', 'basic')).toContain('web Basic 1');
    await eventually('a basic dyno', async () => /web \(Basic\)[^]*up/.test((await heroku('ps')).stdout));
  });

  test('sees its config vars', async () => {
    expect(await output('config')).toBe('=== shop Config Vars');
    const set = await output('config:set', 'GREETING=hello world', 'OTHER=1');
    expect(set).toBe(
      'GREETING: hello world OTHER: 1 Setting GREETING, OTHER and restarting shop... done, v4',
    );
    await untilAnswered('hello world', '/env?GREETING');
    expect(await output('config:get', 'GREETING')).toBe('hello world');
    expect(await output('config')).toBe('=== shop Config Vars GREETING: hello world OTHER: 1');
    expect(await output('config:unset', 'OTHER')).toBe('Unsetting OTHER and restarting shop... done, v5');
    await untilAnswered('(unset)', '/env?OTHER');
    expect(await failure('config:set', '1X=1')).toContain('Config var key "1X" is invalid.');
  });

  test('has releases, and is rolled back', async () => {
    const releases = await output('releases');
    for (const line of [
      '=== shop Releases - Current: v5',
      'v5 Remove OTHER config vars user@example.com',
      'v4 Set GREETING, OTHER config vars user@example.com',
      'v2 Enable Logplex user@example.com',
      'v1 Initial release user@example.com',
    ]) {
      expect(releases).toContain(line);
    }
    expect(releases).toMatch(/v3 Deploy [0-9a-f]{8} user@example\.com/);
    expect(await output('releases:info', 'v4')).toContain(
      '=== v4 Config vars GREETING: hello world OTHER: 1',
    );
    expect(await output('rollback', 'v3')).toContain('Rolling back shop to v3... done, v6');
    await untilAnswered('(unset)', '/env?GREETING');
    expect(await output('releases:info')).toContain(
      '=== Release v6 By: user@example.com Change: Rollback to v3',
    );
    expect(await failure('rollback', 'v1')).toContain('Cannot roll back to v1');
    expect(await failure('rollback', 'v99')).toContain("Couldn't find that release.");
  });

  test('goes into maintenance and comes back', async () => {
    expect(await output('maintenance:on')).toBe('Enabling maintenance mode for shop... done');
    const during = await platform.visit('shop');
    expect(during).toMatchObject({ status: 503, body: expect.stringMatching(/maintenance/i) });
    expect(await output('maintenance')).toBe('on');
    expect(await output('maintenance:off')).toContain('done');
    await untilAnswered('one');
    expect(await output('logs', '--source', 'heroku', '--dyno', 'router', '-n', '20')).toMatch(
      /heroku\[router\]: at=info code=H80 desc="Maintenance mode" method=GET path="\/" host=shop\.localhost request_id=\S+ fwd="127\.0\.0\.1" dyno= connect= service= status=503 bytes=/,
    );
  });

  test('is served under its custom domains', async () => {
    expect(await output('domains')).toBe('=== shop Heroku Domain shop.localhost');
    expect(await output('domains:add', 'www.example.com')).toContain(
      'Adding www.example.com to shop... done',
    );
    expect(await output('domains')).toContain('www.example.com CNAME shop.localhost');
    expect((await platform.visit('www.example.com')).body).toBe('one');
    expect(await failure('domains:add', 'www.example.com')).toContain('already added to this app');
    expect(await failure('domains:add', 'not a domain')).toContain('is not a valid domain name');
    expect(await output('domains:remove', 'www.example.com')).toContain('done');
    expect((await platform.visit('www.example.com')).status).toBe(404);
    expect(await failure('domains:remove', 'www.example.com')).toContain("Couldn't find that domain.");
  });

  test('keeps the buildpack that it was built with, until told otherwise', async () => {
    expect(await output('buildpacks')).toMatch(/^=== shop Classic Buildpack .*heroku\/nodejs$/);
    expect(await output('buildpacks:clear')).toContain('Buildpacks cleared.');
    expect(await output('buildpacks')).toContain('shop has no Buildpacks.');
    expect(await output('buildpacks:set', 'heroku/nodejs')).toContain(
      'Next release on shop will use heroku/nodejs.',
    );
    expect(await output('buildpacks:add', 'heroku/python')).toContain('1. heroku/nodejs 2. heroku/python');
    expect(await failure('buildpacks:set', 'heroku/cobol')).toContain('There is no buildpack of that name.');
    expect(await output('buildpacks:remove', 'heroku/python')).toContain('heroku/nodejs');
    expect(await output('buildpacks:add', 'https://example.com/pack.git#v1')).toContain(
      '2. https://example.com/pack.git#v1',
    );
    expect(await output('buildpacks:clear')).toContain('Buildpacks cleared.');
    expect(await output('buildpacks:set', 'heroku/nodejs')).toContain('heroku/nodejs');
  });

  test('looks buildpacks up in the registry', async () => {
    const found = await output('buildpacks:search', 'node');
    expect(found).toMatch(/heroku\/nodejs\s+languages\s+Node\.js apps/);
    expect(found).toContain('1 buildpack found');
    expect(await output('buildpacks:search', '--name', 'cobol')).toContain('No buildpacks found');
    const info = await output('buildpacks:info', 'heroku/nodejs');
    expect(info).toContain('Node.js apps: installs Node.js');
    expect(info).toContain('engines.node');
    expect(info).toMatch(/license: +MIT/);
    expect(await failure('buildpacks:info', 'heroku/cobol')).toContain(
      "Could not find the buildpack 'heroku/cobol'",
    );
    expect(await output('buildpacks:versions', 'heroku/nodejs')).toMatch(/1\s+20\d\d-\S+\s+published/);
    expect(await failure('buildpacks:versions', 'heroku/cobol')).toContain("Could not find 'heroku/cobol'");
  });

  test('has a stack', async () => {
    expect(await output('stack')).toContain('* heroku-24');
    expect(await failure('stack:set', 'cedar-14')).toContain('Stack cedar-14 is not available.');
  });
});

describe('the account', () => {
  test('is who the token says', async () => {
    expect(await output('whoami')).toContain('user@example.com');
    expect((await heroku('auth:token')).stdout.trim()).toBe(platform.token);
    expect(words(await heroku('auth:token'))).toBe(platform.token);
    const access = await output('access');
    expect(access).toContain('user@example.com owner');
    expect(await output('regions')).toContain('us This machine');
  });

  test('gives out tokens and takes them back', async () => {
    const { stdout } = await heroku('authorizations:create', '-d', 'For a script', '--json');
    const { id, access_token: made } = JSON.parse(stdout) as { id: string; access_token: { token: string } };
    const env = { HEROKU_API_KEY: made.token };
    expect((await platform.heroku(['apps'], { env })).stdout).toContain('shop');
    expect(await output('authorizations')).toContain(`For a script ${id} global`);
    expect(await output('authorizations:revoke', id)).toContain(
      'done, revoked authorization from For a script',
    );
    expect((await platform.heroku(['apps'], { env })).exitCode).not.toBe(0);
  });

  test('with a wrong token is nobody', async () => {
    const env = { HEROKU_API_KEY: 'wrong' };
    const apps = await platform.heroku(['apps'], { env });
    expect(apps.exitCode).toBe(1);
    expect(words(apps)).toContain('The token provided to HEROKU_API_KEY is invalid.');
    const whoami = await platform.heroku(['whoami'], { env });
    expect(whoami.exitCode).not.toBe(0);
    expect(words(whoami)).toContain('Invalid credentials provided.');
  });
});

describe('what there is not yet', () => {
  test('is empty when listed', async () => {
    expect(await output('addons')).toBe('No add-ons for app shop.');
    expect(await output('drains')).toBe('');
    expect(await output('features')).toMatch(
      /^=== App Features shop \[ \] http-session-affinity Requests .* \[ \] preboot New web dynos are up/,
    );
    expect(await output('teams')).toContain('Team');
  });

  test('is refused in words', async () => {
    expect(await failure('ps:exec')).toContain('dynodock does not support heroku ps:exec');
    expect(await failure('drains:add', 'syslog://localhost:514')).toContain(
      'dynodock does not support this yet',
    );
    expect(await failure('access:add', 'a@b.example')).toContain('dynodock does not support this yet');
  });
});

test('a request under a foreign host name is refused', async () => {
  const status = await new Promise<number | undefined>((resolve, reject) => {
    request(
      {
        host: '127.0.0.1',
        port: platform.apiPort,
        path: '/apps',
        agent: false,
        headers: { Host: 'evil.example', Authorization: `Bearer ${platform.token}` },
      },
      (response) => {
        response.resume();
        resolve(response.statusCode);
      },
    )
      .once('error', reject)
      .end();
  });
  expect(status).toBe(403);
});

test('a destroyed app is gone with all that it had', async () => {
  expect(await failure('destroy', '--confirm', 'other')).toContain('Confirmation other did not match shop');
  expect(await output('destroy', '--confirm', 'shop')).toContain('Destroying shop');
  expect(await platform.containers('dyno')).toEqual([]);
  expect((await platform.visit('shop')).status).toBe(404);
  expect(await output('apps')).toBe('You have no apps.');
  const { stdout } = await platform.git(folder, ['remote']);
  expect(stdout).toBe('');
});
