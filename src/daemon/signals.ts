import type { Logger } from '../lib/logger';

/** The first SIGTERM or SIGINT asks for an orderly end, the second ends the process now. */
export function onEndSignal(logger: Logger, stop: (signal: string) => void): () => void {
  let asked = false;
  const handle = (signal: string): void => {
    if (asked) {
      logger.warn('ended without waiting', { signal });
      process.exit(1);
    }
    asked = true;
    stop(signal);
  };
  const onTerm = (): void => handle('SIGTERM');
  const onInt = (): void => handle('SIGINT');
  process.on('SIGTERM', onTerm);
  process.on('SIGINT', onInt);
  return () => {
    process.off('SIGTERM', onTerm);
    process.off('SIGINT', onInt);
  };
}
