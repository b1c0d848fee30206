import { existsSync } from 'node:fs';
import path from 'node:path';
import puppeteer, { type Browser } from 'puppeteer-core';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

/** The machine's own browser, without a window. `profile`: a folder for what it keeps. */
export function startBrowser(profile: string): Promise<Browser> {
  return puppeteer.launch({
    executablePath: findBrowser(),
    userDataDir: profile,
    args: [
      '--disable-dev-shm-usage',
      // Its sandbox refuses to run as root, as which containers and CI run.
      ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
    ],
  });
}

function findBrowser(): string {
  const folders = (process.env.PATH ?? '').split(path.delimiter);
  const found = NAMES.flatMap((name) => folders.map((folder) => path.join(folder, name))).find(existsSync);
  if (found === undefined)
    throw new Error('no Chromium on this machine: script/bootstrap --test installs it');
  return found;
}
