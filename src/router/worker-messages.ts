import type { ParkAnswer } from './activity';
import type { RouterTimeouts } from './exchange';
import type { WakeNews } from './gate';
import { DEFAULT_LIMITS, DEFAULT_TIMEOUTS, type RouterLimits } from './limits';
import {
  array,
  flag,
  integer,
  MessageError,
  readRouterMessage,
  readRouteTable,
  record,
  text,
} from './messages';
import type { RouterMessage, RouteTable } from './protocol';
import type { Scheme } from './worker';

/*
 * What the primary process of the router and its further worker processes say to each other over the channel of
 * `child_process.fork`. Each way, messages are handled in the order in which they were sent. Both ends are of the
 * same version, so a new kind of message is a line in a union here, a case in its parser, and one where it is handled:
 * worker-process.ts (orders) or router.ts (reports).
 */

/** Primary → worker. */
export type WorkerOrder =
  /** Before all else, in answer to `ready`. */
  | {
      type: 'start';
      timeouts: RouterTimeouts;
      limits: RouterLimits;
      /** null = there is no https. The keys in base64. */
      tls: { certificates_dir: string; ticket_keys: string } | null;
      table: RouteTable;
      /** Apps that are parked now. */
      parked: string[];
    }
  /** Answered with `applied`, each one. */
  | { type: 'routes'; table: RouteTable }
  /** Comes with a client's connection. Answered with `taken`. */
  | { type: 'connection'; id: number; scheme: Scheme }
  /** Answered with `park_answer`, each one. */
  | { type: 'park'; app_id: string; at_once: boolean }
  | { type: 'unpark'; app_id: string }
  /** There is a daemon anew: what it shall know of waiting requests is to be said again. */
  | { type: 'daemon_connected' }
  /** Let what is under way end, say `drained` and exit. */
  | { type: 'drain' };

/** Worker → primary. */
export type WorkerReport =
  /** Its code is loaded. */
  | { type: 'ready' }
  /** The oldest table not yet answered for is being served. */
  | { type: 'applied' }
  /** Of the oldest `park` not yet answered. */
  | { type: 'park_answer'; answer: ParkAnswer }
  /** The connection is its own from now on. */
  | { type: 'taken'; id: number }
  /** Its last word. */
  | { type: 'drained' }
  /** For the router's own log, which has one writer. */
  | { type: 'note'; level: NoteLevel; message: string; fields: Record<string, unknown> }
  | WorkerNews;

/** What is no answer: mostly for the daemon. */
export type WorkerNews =
  | Extract<RouterMessage, { type: 'log' }>
  | WakeNews
  /** An app has had no traffic here for long. */
  | { type: 'quiet'; app_id: string };

export type NoteLevel = 'error' | 'warn' | 'info' | 'debug';

/** Throws MessageError. */
export function parseWorkerOrder(value: unknown): WorkerOrder {
  const order = record(value, 'order');
  switch (order.type) {
    case 'start':
      return {
        type: 'start',
        timeouts: readNumbers(order.timeouts, DEFAULT_TIMEOUTS, 'timeouts'),
        limits: readNumbers(order.limits, DEFAULT_LIMITS, 'limits'),
        tls: order.tls === null ? null : readTls(order.tls),
        table: readRouteTable(order.table),
        parked: array(order.parked, 'parked').map((appId) => text(appId, 'app_id')),
      };
    case 'park':
      return { type: 'park', app_id: text(order.app_id, 'app_id'), at_once: flag(order.at_once, 'at_once') };
    case 'unpark':
      return { type: 'unpark', app_id: text(order.app_id, 'app_id') };
    case 'routes':
      return { type: 'routes', table: readRouteTable(order.table) };
    case 'connection':
      return { type: 'connection', id: integer(order.id, 'id'), scheme: readScheme(order.scheme) };
    case 'daemon_connected':
    case 'drain':
      return { type: order.type };
    default:
      throw new MessageError('order has an unknown type');
  }
}

/** Throws MessageError. */
export function parseWorkerReport(value: unknown): WorkerReport {
  const report = record(value, 'report');
  switch (report.type) {
    case 'ready':
    case 'applied':
    case 'drained':
      return { type: report.type };
    case 'park_answer':
      return { type: 'park_answer', answer: readParkAnswer(report.answer) };
    case 'quiet':
      return { type: 'quiet', app_id: text(report.app_id, 'app_id') };
    case 'taken':
      return { type: 'taken', id: integer(report.id, 'id') };
    case 'note':
      return {
        type: 'note',
        level: readLevel(report.level),
        message: text(report.message, 'message'),
        fields: record(report.fields, 'fields'),
      };
    case 'log':
    case 'wake':
    case 'woken':
      return readRouterMessage(report) as WorkerNews;
    default:
      throw new MessageError('report has an unknown type');
  }
}

function readTls(value: unknown): { certificates_dir: string; ticket_keys: string } {
  const tls = record(value, 'tls');
  return {
    certificates_dir: text(tls.certificates_dir, 'certificates_dir'),
    ticket_keys: text(tls.ticket_keys, 'ticket_keys'),
  };
}

function readScheme(value: unknown): Scheme {
  if (value === 'http' || value === 'https') return value;
  throw new MessageError('scheme is none of ours');
}

function readParkAnswer(value: unknown): ParkAnswer {
  const answer = record(value, 'answer');
  return flag(answer.parked, 'parked')
    ? { parked: true, quietMs: integer(answer.quietMs, 'quietMs') }
    : { parked: false, inFlight: integer(answer.inFlight, 'inFlight') };
}

/** An object with the same keys as `like`, whose values are whole numbers. */
function readNumbers<T extends object>(value: unknown, like: T, what: string): T {
  const numbers = record(value, what);
  return Object.fromEntries(Object.keys(like).map((key) => [key, integer(numbers[key], key)])) as T;
}

function readLevel(value: unknown): NoteLevel {
  switch (value) {
    case 'error':
    case 'warn':
    case 'info':
    case 'debug':
      return value;
    default:
      throw new MessageError('level is none of a log');
  }
}
