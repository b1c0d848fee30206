/** One line of an app's log stream (Dev Center "Logging"). */
export interface LogLine {
  at: Date;
  /** Microseconds below the Date's millisecond, 0 … 999. */
  micros?: number;
  source: 'app' | 'heroku';
  /** `web.1`, `router`, `api` … */
  process: string;
  text: string;
}

/** `2012-01-01T00:00:00.000000+00:00 app[web.1]: text`, as `heroku logs` shows it. */
export function formatLogLine(line: LogLine): string {
  const micros = String(line.micros ?? 0).padStart(3, '0');
  const stamp = line.at.toISOString().replace('Z', `${micros}+00:00`);
  return `${stamp} ${line.source}[${line.process}]: ${line.text}`;
}

/** Heroku splits longer lines into pieces of this many bytes (Dev Center "Limits"). */
export const MAX_LINE_BYTES = 10_000;
