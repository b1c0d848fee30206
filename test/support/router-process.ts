import { createLogger } from '../../src/lib/logger';
import { runRouter, type RouterConfig } from '../../src/router/main';

/** A router as a process of its own, for tests that kill it: its settings are its argument, its log is on standard error. */
const settings = JSON.parse(process.argv[2] ?? '') as Omit<RouterConfig, 'logger'>;

runRouter({ ...settings, logger: createLogger({ level: 'info' }) }).catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
