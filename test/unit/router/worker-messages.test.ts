import { DEFAULT_LIMITS, DEFAULT_TIMEOUTS } from '../../../src/router/limits';
import { MessageError } from '../../../src/router/messages';
import {
  parseWorkerOrder,
  parseWorkerReport,
  type WorkerOrder,
  type WorkerReport,
} from '../../../src/router/worker-messages';
import { anApp, aTable } from '../../support/router-client';

const ORDERS: WorkerOrder[] = [
  {
    type: 'start',
    timeouts: DEFAULT_TIMEOUTS,
    limits: DEFAULT_LIMITS,
    tls: { certificates_dir: '/certificates', ticket_keys: 'AAAA' },
    table: aTable(anApp()),
    parked: ['app-2'],
  },
  { type: 'routes', table: aTable() },
  { type: 'connection', id: 7, scheme: 'https' },
  { type: 'park', app_id: 'app-1', at_once: true },
  { type: 'unpark', app_id: 'app-1' },
  { type: 'daemon_connected' },
  { type: 'drain' },
];

const REPORTS: WorkerReport[] = [
  { type: 'ready' },
  { type: 'applied' },
  { type: 'taken', id: 7 },
  { type: 'park_answer', answer: { parked: true, quietMs: 5 } },
  { type: 'park_answer', answer: { parked: false, inFlight: 1 } },
  { type: 'quiet', app_id: 'app-1' },
  { type: 'woken', app_id: 'app-1', at: '2026-01-02T03:04:05.678Z', held: 2 },
  { type: 'drained' },
  { type: 'note', level: 'warn', message: 'requests cut off by the stop', fields: { count: 1 } },
  { type: 'log', lines: [{ app_id: 'app-1', at: '2026-01-02T03:04:05.678Z', text: 'at=info' }] },
  {
    type: 'wake',
    app_id: 'app-1',
    request_id: 'r',
    method: 'GET',
    path: '/',
    fwd: '127.0.0.1',
    at: '2026-01-02T03:04:05.678Z',
  },
];

describe('messages between the processes of the router', () => {
  test.each(ORDERS)('an order to $type arrives as it was sent', (order) => {
    expect(parseWorkerOrder(JSON.parse(JSON.stringify(order)))).toEqual(order);
  });

  test.each(REPORTS)('a report of $type arrives as it was sent', (report) => {
    expect(parseWorkerReport(JSON.parse(JSON.stringify(report)))).toEqual(report);
  });

  test.each([
    'drain',
    null,
    {},
    { type: 'ready' },
    { type: 'start', timeouts: {}, limits: DEFAULT_LIMITS, table: aTable(), parked: [] },
    {
      type: 'start',
      timeouts: DEFAULT_TIMEOUTS,
      limits: { ...DEFAULT_LIMITS, logFlushMs: '1' },
      table: aTable(),
      parked: [],
    },
    { type: 'routes', table: { version: 1 } },
    { type: 'connection' },
    { type: 'park', app_id: 'app-1' },
  ])('%j is no order', (value) => {
    expect(() => parseWorkerOrder(value)).toThrow(MessageError);
  });

  test.each([
    { type: 'drain' },
    { type: 'hello', protocol: 1, pid: 1, table_version: 0, http_port: 80 },
    { type: 'taken', id: -1 },
    { type: 'park_answer', answer: { parked: true, inFlight: 1 } },
    { type: 'note', level: 'loud', message: '', fields: {} },
    { type: 'note', level: 'warn', message: '' },
    { type: 'log', lines: [{}] },
  ])('%j is no report', (value) => {
    expect(() => parseWorkerReport(value)).toThrow(MessageError);
  });
});
