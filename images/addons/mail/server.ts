import { readFileSync } from 'node:fs';
import { MailStore } from './mail-store.ts';
import type { Settings } from './settings.ts';
import { createSmtpServer } from './smtp.ts';
import { createWebServer } from './web.ts';

/** `node server.ts <settings.json>`: takes e-mail in by SMTP and shows it over HTTP. */
const STOP_TIMEOUT_MS = 8_000;

function main(): void {
  const settings = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as Settings;
  const store = new MailStore(settings.folder, settings);
  const smtp = createSmtpServer(settings, store, log);
  const web = createWebServer(settings, store, log);
  const stop = (): void => {
    setTimeout(() => process.exit(0), STOP_TIMEOUT_MS).unref();
    web.closeIdleConnections();
    smtp.close(() => {
      web.close(() => {
        store.close();
        process.exit(0);
      });
    });
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  smtp.listen(settings.smtpPort, () => web.listen(settings.webPort, () => log('serving')));
}

function log(message: string, error?: unknown): void {
  const reason = error instanceof Error ? error.message : undefined;
  process.stdout.write(`${JSON.stringify({ message, ...(reason === undefined ? {} : { reason }) })}\n`);
}

main();
