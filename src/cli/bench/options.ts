import { validateHeaderName, validateHeaderValue } from 'node:http';
import { CommandError } from '../terminal';

/** As the command line gives them. */
export interface BenchArguments {
  connections: string;
  duration: string;
  method?: string;
  header?: string[];
  body?: string;
  scale?: string;
  anyHost?: boolean;
  json?: boolean;
}

export interface BenchOptions {
  url: URL;
  connections: number;
  durationSeconds: number;
  method: string;
  headers: [name: string, value: string][];
  body: string | undefined;
  /** Numbers of web dynos, one run for each; none = one run with what there is. */
  scale: number[];
  anyHost: boolean;
  json: boolean;
}

const MAX_CONNECTIONS = 1000;
const MAX_DURATION_SECONDS = 600;
/** As many as an app can have of one process type (domain/formation.ts says the same of the whole app). */
const MAX_DYNOS = 100;
const MAX_STEPS = 20;

/** What the bench, or the HTTP client under it, sets by itself. */
const OWN_HEADERS = new Set([
  'host',
  'x-request-id',
  'content-length',
  'transfer-encoding',
  'upgrade',
  'expect',
]);

/** Throws CommandError for what makes no sense. */
export function readOptions(urlText: string, given: BenchArguments): BenchOptions {
  const url = readUrl(urlText);
  const method = (given.method ?? (given.body === undefined ? 'GET' : 'POST')).toUpperCase();
  if (!/^[A-Z][A-Z-]{0,30}$/.test(method) || method === 'CONNECT') {
    throw new CommandError(`${method} is no method that can be benchmarked.`);
  }
  if (given.body !== undefined && (method === 'GET' || method === 'HEAD')) {
    throw new CommandError(`A ${method} request has no body: choose another --method.`);
  }
  const scale = given.scale === undefined ? [] : readScale(given.scale);
  if (given.anyHost === true && scale.length > 0) {
    throw new CommandError('--scale is for apps of this installation: it does not go with --any-host.');
  }
  return {
    url,
    connections: wholeNumber('--connections', given.connections, MAX_CONNECTIONS),
    durationSeconds: wholeNumber('--duration', given.duration, MAX_DURATION_SECONDS),
    method,
    headers: (given.header ?? []).map(readHeader),
    body: given.body,
    scale,
    anyHost: given.anyHost === true,
    json: given.json === true,
  };
}

/** `1..4` counts up, `1,2,8` takes what is named. */
export function readScale(text: string): number[] {
  const range = /^(\d{1,3})\.\.(\d{1,3})$/.exec(text);
  let steps: number[];
  if (range === null) {
    if (!/^\d{1,3}(,\d{1,3})*$/.test(text)) {
      throw new CommandError(
        `--scale ${text} is neither a range nor a list.`,
        'For example: --scale 1..4, or --scale 1,2,4',
      );
    }
    steps = text.split(',').map(Number);
  } else {
    const [from, to] = [Number(range[1]), Number(range[2])];
    if (from > to) throw new CommandError(`--scale ${text}: ${from} is more than ${to}.`);
    steps = Array.from({ length: to - from + 1 }, (_, index) => from + index);
  }
  if (steps.some((step) => step < 1 || step > MAX_DYNOS)) {
    throw new CommandError(`--scale ${text}: an app can have 1 to ${MAX_DYNOS} web dynos.`);
  }
  if (steps.length > MAX_STEPS) {
    throw new CommandError(`--scale ${text} makes ${steps.length} runs; ${MAX_STEPS} are the most.`);
  }
  return steps;
}

function readUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'http:') {
    throw new CommandError(
      `${text} is no URL that can be benchmarked: it has to begin with http://.`,
      'The URL of an app: heroku apps:info',
    );
  }
  if (url.username !== '' || url.password !== '') {
    throw new CommandError(
      "Name and password in the URL are not sent: use --header 'Authorization: Basic …'.",
    );
  }
  return url;
}

function readHeader(text: string): [string, string] {
  const colon = text.indexOf(':');
  const [name, value] = [text.slice(0, colon).trim(), text.slice(colon + 1).trim()];
  try {
    if (colon === -1) throw new Error('no colon');
    validateHeaderName(name);
    validateHeaderValue(name, value);
  } catch {
    throw new CommandError(`--header ${text} is not of the form 'Name: value'.`);
  }
  if (OWN_HEADERS.has(name.toLowerCase()))
    throw new CommandError(`--header ${name}: the bench sets it itself.`);
  return [name, value];
}

function wholeNumber(option: string, text: string, max: number): number {
  const number = /^\d{1,6}$/.test(text) ? Number(text) : NaN;
  if (!(number >= 1 && number <= max)) {
    throw new CommandError(`${option} ${text} is not a whole number from 1 to ${max}.`);
  }
  return number;
}
