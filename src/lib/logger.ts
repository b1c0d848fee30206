import { createLogger as createWinston, format, transports } from 'winston';

/** The daemon's own log. A message is a constant sentence, the facts are fields; secrets are never among them. */
export interface Logger {
  error(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  info(message: string, fields?: Record<string, unknown>): void;
  debug(message: string, fields?: Record<string, unknown>): void;
  /** A logger for one component. */
  child(fields: Record<string, unknown>): Logger;
}

export type LogLevel = 'error' | 'warn' | 'info' | 'debug';

/** JSON lines to `file`, else to standard error. */
export function createLogger(options: { level: LogLevel; file?: string }): Logger {
  const transport =
    options.file === undefined
      ? new transports.Stream({ stream: process.stderr })
      : new transports.File({
          filename: options.file,
          maxsize: 10 * 1024 * 1024,
          maxFiles: 3,
          tailable: true,
        });
  return wrap(
    createWinston({
      level: options.level,
      format: format.combine(errorsToText(), format.timestamp(), format.json()),
      transports: [
        options.file === undefined
          ? new transports.Console({ stderrLevels: ['error', 'warn', 'info', 'debug'] })
          : new transports.File({
              filename: options.file,
              maxsize: 10 * 1024 * 1024,
              maxFiles: 3,
              tailable: true,
            }),
      ],
    }),
  );
}

/** Says nothing: for tests. */
export const silentLogger: Logger = {
  error: () => undefined,
  warn: () => undefined,
  info: () => undefined,
  debug: () => undefined,
  child: () => silentLogger,
};

type Winston = ReturnType<typeof createWinston>;

function wrap(winston: Winston): Logger {
  return {
    error: (message, fields) => void winston.error(message, fields),
    warn: (message, fields) => void winston.warn(message, fields),
    info: (message, fields) => void winston.info(message, fields),
    debug: (message, fields) => void winston.debug(message, fields),
    child: (fields) => wrap(winston.child(fields)),
  };
}

/** Errors among the fields are logged whole, with their causes. */
const errorsToText = format((info) => {
  for (const [key, value] of Object.entries(info)) {
    if (value instanceof Error) info[key] = describeError(value);
  }
  return info;
});

export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const own = error.stack ?? `${error.name}: ${error.message}`;
  return error.cause === undefined ? own : `${own}\ncaused by ${describeError(error.cause)}`;
}
