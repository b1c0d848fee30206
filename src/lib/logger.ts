/* eslint-disable @typescript-eslint/no-unsafe-class-instance-assignment -- winston declares its transports as interfaces */
import { createLogger as createWinston, format, transports, type Logger as Winston } from 'winston';

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

const FILE_BYTES = 10 * 1024 * 1024;

/** JSON lines to `file` (three files of 10 MiB in turn), else to standard error. */
export function createLogger(options: { level: LogLevel; file?: string }): Logger {
  const winston = createWinston({
    level: options.level,
    format: format.combine(errorsToText(), format.timestamp(), format.json()),
  });
  if (options.file === undefined) {
    winston.add(new transports.Console({ stderrLevels: ['error', 'warn', 'info', 'debug'] }));
  } else {
    winston.add(
      new transports.File({ filename: options.file, maxsize: FILE_BYTES, maxFiles: 3, tailable: true }),
    );
  }
  return wrap(winston);
}

/** Says nothing: for tests. */
export const silentLogger: Logger = {
  error: () => undefined,
  warn: () => undefined,
  info: () => undefined,
  debug: () => undefined,
  child: () => silentLogger,
};

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
