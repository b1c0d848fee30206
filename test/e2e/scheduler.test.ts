import path from 'node:path';
import type { Browser, Page } from 'puppeteer-core';
import { startBrowser } from '../support/browser';
import { eventually, TestPlatform, words, type CommandResult } from '../support/platform';
import { sampleApp } from '../support/sample-app';

jest.setTimeout(180_000);

const platform = new TestPlatform();
let browser: Browser;
let page: Page;
const complaints: string[] = [];

async function heroku(...args: string[]): Promise<string> {
  const result = await platform.heroku([...args, '--app', 'shop']);
  expect({ args, ...result }).toMatchObject({ exitCode: 0 });
  return result.stdout + result.stderr;
}
function dynodock(...args: string[]): Promise<CommandResult> {
  return platform.dynodock(args);
}

/** Presses a button and waits for the page that comes of it. */
async function press(selector: string): Promise<void> {
  await Promise.all([page.waitForNavigation(), page.click(selector)]);
}

async function content(): Promise<string> {
  return (await page.evaluate('document.body.innerText')) as string;
}

beforeAll(async () => {
  await platform.start();
  browser = await startBrowser(path.join(platform.dir, 'browser'));
  const folder = await platform.repository(sampleApp('one'));
  expect(await platform.heroku(['create', 'shop'], { cwd: folder })).toMatchObject({ exitCode: 0 });
  expect(await platform.push(folder, 'shop')).toMatchObject({ exitCode: 0 });
}, 180_000);
afterAll(async () => {
  // Undefined where it could not be started.
  await (browser as Browser | undefined)?.close();
  await platform.destroy();
}, 120_000);

test('the CLI adds the scheduler and opens its page, where a browser adds a job', async () => {
  const created = await heroku('addons:create', 'scheduler:standard');
  expect(created).toMatch(/Created scheduler-[a-z]+-\d{5}/);
  expect(created).toContain('heroku addons:open scheduler');
  const url = (await heroku('addons:open', 'scheduler', '--show-url')).trim();
  page = await browser.newPage();
  page.on('console', (message) => complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(String(error)));
  await page.goto(url);
  // The signature is in nobody's sight any more.
  expect(page.url()).toBe(`${new URL(url).origin}/`);
  expect(await content()).toContain('There are no jobs yet.');
  await page.type('input[name=command]', `node -e "console.log('the time', 6 * 7)"`);
  await page.type('input[name=frequency]', 'cron * * * * *');
  await press('form[action="/jobs"] button');
  expect(await content()).toMatch(/console\.log\('the time', 6 \* 7\).*default.*cron \* \* \* \* \*.*never/s);
  expect(complaints).toEqual([]);
});

test('a job that is told to run now runs as a one-off dyno, with Heroku’s lines in the log', async () => {
  await press('form[action$="/run"] button');
  await eventually('its end', async () => {
    await page.reload();
    return (await content()).includes('exited with status 0');
  });
  const log = await heroku('logs', '--num', '200');
  const [, name] = /app\[(scheduler\.\d{4})\]: the time 42/.exec(log) ?? [];
  const command = 'node -e "console.log\\(\'the time\', 6 \\* 7\\)"';
  const lines = [
    `app\\[api\\]: Starting process with command \`${command}\` by user user@example\\.com`,
    `heroku\\[${name}\\]: Starting process with command \`${command}\``,
    `heroku\\[${name}\\]: State changed from starting to up`,
    `app\\[${name}\\]: the time 42`,
    `heroku\\[${name}\\]: Process exited with status 0`,
    `heroku\\[${name}\\]: State changed from up to complete`,
  ];
  expect(log).toMatch(new RegExp(lines.join('[^]*')));
});

test('our own commands list, add, run and remove jobs', async () => {
  const added = words(
    await dynodock('scheduler:add', 'shop', '--at', 'daily at 8:30', '--', 'echo', 'good morning'),
  );
  const [, id = ''] =
    /^Job ([0-9a-f]{8}) added: every day at 08:30 UTC, next .* 08:30 UTC\.$/.exec(added) ?? [];
  const list = (await dynodock('scheduler', 'shop')).stdout;
  expect(list).toMatch(new RegExp(`^${id}  every day at 08:30 UTC .* echo 'good morning'$`, 'm'));
  expect(list).toMatch(/ -> last run .*, scheduler\.\d{4}: exited with status 0$/m);
  expect(words(await dynodock('scheduler:run', 'shop', id))).toMatch(
    /^Job [0-9a-f]{8} runs in scheduler\.\d{4}/,
  );
  await eventually('its output', async () =>
    /app\[scheduler\.\d{4}\]: good morning/.test(await heroku('logs', '--num', '200')),
  );
  expect(words(await dynodock('scheduler:remove', 'shop', id))).toContain('removed: echo');
  expect(await dynodock('scheduler:run', 'shop', id)).toMatchObject({ exitCode: 1 });
  const refused = await dynodock('scheduler:add', 'shop', '--at', 'sometimes', '--', 'true');
  expect(refused).toMatchObject({ exitCode: 1 });
  expect(refused.stderr).toContain('Frequency "sometimes" is not understood');
});

test('a job whose time comes runs by itself, as the scheduler', async () => {
  await eventually(
    'the line of its start',
    async () =>
      (await heroku('logs', '--num', '500')).includes(
        `Starting process with command \`node -e "console.log('the time', 6 * 7)"\` by user scheduler@addons.heroku.com`,
      ),
    75_000,
  );
});
