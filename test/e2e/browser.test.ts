import path from 'node:path';
import type { Browser, Page } from 'puppeteer-core';
import { startBrowser } from '../support/browser';
import { eventually, TestPlatform, words } from '../support/platform';
import { sleepyApp } from '../support/sleepy-app';

jest.setTimeout(120_000);

const platform = new TestPlatform();
let browser: Browser;
let page: Page;

async function shown(id: string): Promise<string> {
  return (await page.evaluate(`document.getElementById('${id}').textContent`)) as string;
}

async function untilLive(): Promise<void> {
  await eventually('a live page', async () => (await shown('state')) === 'live');
  await eventually('who serves it', async () => (await shown('life')) !== '');
}

/** What stands in the page's list of messages in the end. */
async function say(text: string): Promise<string[]> {
  const before = (await messages()).length;
  await page.evaluate("document.getElementById('text').value = ''");
  await page.type('#text', text);
  await page.click('#send');
  return eventually('another message', async () => {
    const all = await messages();
    return all.length > before && all;
  });
}

async function messages(): Promise<string[]> {
  const items = "[...document.querySelectorAll('#messages li')].map((item) => item.textContent)";
  return (await page.evaluate(items)) as string[];
}

async function history(): Promise<string[]> {
  return (await shown('history')).trim().split(' ');
}

async function dynodock(...args: string[]): Promise<string> {
  const result = await platform.dynodock(args);
  expect({ args, ...result }).toMatchObject({ exitCode: 0 });
  return words(result);
}

async function lastWake(): Promise<unknown> {
  const wakes = (await platform.api('GET', '/apps/chat/wakes')).body as { created_at: string }[];
  return wakes.sort((a, b) => b.created_at.localeCompare(a.created_at))[0];
}

beforeAll(async () => {
  await platform.start();
  browser = await startBrowser(path.join(platform.dir, 'browser'));
  const folder = await platform.repository(sleepyApp());
  expect(await platform.heroku(['create', 'chat'], { cwd: folder })).toMatchObject({ exitCode: 0 });
  expect(await platform.push(folder, 'chat')).toMatchObject({ exitCode: 0 });
  page = await browser.newPage();
  await page.goto(`http://chat.localhost:${platform.httpPort}/page`);
  await untilLive();
}, 240_000);
afterAll(async () => {
  // Undefined where it could not be started.
  await (browser as Browser | undefined)?.close();
  await platform.destroy();
}, 120_000);

test('a page with a WebSocket talks to its app', async () => {
  expect(await say('one')).toEqual(['echo: one']);
  expect(await history()).toEqual(['connecting', 'live']);
});

test('when its silence lets the app fall asleep, it loses the socket, and wakes the app by connecting again', async () => {
  const life = await shown('life');
  await dynodock('sleep', 'chat', '--after', '2s');
  await eventually('the loss of the socket', async () => (await history()).includes('lost'));
  await dynodock('sleep', 'chat', '--after', 'default');
  await untilLive();
  await eventually('another process', async () => (await shown('life')) !== life);
  expect((await history()).slice(0, 5)).toEqual(['connecting', 'live', 'lost', 'connecting', 'live']);
  expect(await say('two')).toEqual(['echo: one', 'echo: two']);
  expect(await lastWake()).toMatchObject({
    cause: { kind: 'request', method: 'GET', path: '/live' },
    depth: 'stopped',
    held: 1,
  });
});

test('an app that was frozen goes on with what it had in memory', async () => {
  await dynodock('sleep', 'chat', '--depth', 'frozen');
  const life = await shown('life');
  const before = (await history()).length;
  await dynodock('idle', 'chat');
  await eventually('the loss of the socket', async () => (await history()).slice(before).includes('lost'));
  await eventually('a new socket', async () => (await history()).slice(before).includes('live'));
  expect(await say('three')).toEqual(['echo: one', 'echo: two', 'echo: three']);
  expect(await shown('life')).toBe(life);
  expect(await lastWake()).toMatchObject({ depth: 'frozen' });
});

test('a page that is opened while the app sleeps comes as if nothing were', async () => {
  await dynodock('sleep', 'chat', '--depth', 'stopped');
  const url = page.url();
  await page.goto('about:blank');
  await eventually('the app to be put to sleep', async () => {
    const { exitCode } = await platform.dynodock(['idle', 'chat']);
    return exitCode === 0;
  });
  const response = await page.goto(url);
  expect(response?.status()).toBe(200);
  await untilLive();
  expect(await page.title()).toBe('Live');
  expect(await say('four')).toEqual(['echo: four']);
  expect(await lastWake()).toMatchObject({ cause: { kind: 'request', path: '/page' }, depth: 'stopped' });
});
