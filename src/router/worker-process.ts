import type { SendHandle } from 'node:child_process';
import { Socket } from 'node:net';
import { systemClock } from '../lib/clock';
import { describeError, type Logger } from '../lib/logger';
import { LogShipper } from './log-shipper';
import { RouterWorker } from './worker';
import { parseWorkerOrder, type NoteLevel, type WorkerOrder, type WorkerReport } from './worker-messages';

/*
 * A further worker process of the router, started by its primary (worker-pool.ts): it has no port, no file and no link
 * to the daemon, only the channel to the primary. When the primary is gone it drains and exits.
 */

/** Messages that the channel has not taken yet; beyond this the log lines wait in their own, bounded buffer. */
const MAX_UNSENT = 1_000;

interface Parts {
  worker: RouterWorker;
  shipper: LogShipper;
}

let parts: Parts | null = null;
let unsent = 0;

function report(message: WorkerReport, sent: () => void = () => undefined): boolean {
  if (process.send === undefined || !process.connected) return false;
  unsent += 1;
  // A failure means that the primary is gone: 'disconnect' deals with that.
  process.send(message, undefined, undefined, () => {
    unsent -= 1;
    sent();
  });
  return true;
}

function loggerOf(context: Record<string, unknown>): Logger {
  const at =
    (level: NoteLevel) =>
    (message: string, fields: Record<string, unknown> = {}): void => {
      const entries = Object.entries({ ...context, ...fields });
      // JSON keeps nothing of an error.
      const plain = entries.map(([key, value]) => [
        key,
        value instanceof Error ? describeError(value) : value,
      ]);
      report({ type: 'note', level, message, fields: Object.fromEntries(plain) as Record<string, unknown> });
    };
  return {
    error: at('error'),
    warn: at('warn'),
    info: at('info'),
    debug: at('debug'),
    child: (fields) => loggerOf({ ...context, ...fields }),
  };
}

function start({ timeouts, limits, tls, table, parked }: Extract<WorkerOrder, { type: 'start' }>): Parts {
  const shipper = new LogShipper({
    clock: systemClock,
    send: (message) => unsent < MAX_UNSENT && report(message),
    flushMs: limits.logFlushMs,
    maxBatch: limits.logBatchLines,
    maxBuffered: limits.bufferedLogLines,
  });
  const worker = new RouterWorker({
    clock: systemClock,
    logger: loggerOf({}),
    timeouts,
    limits,
    tls: tls && {
      certificatesDir: tls.certificates_dir,
      ticketKeys: Buffer.from(tls.ticket_keys, 'base64'),
    },
    random: Math.random,
    log: (line) => shipper.push(line),
    wakes: report,
    quiet: (app_id) => void report({ type: 'quiet', app_id }),
  });
  worker.apply(table);
  for (const appId of parked) worker.park(appId, true);
  return { worker, shipper };
}

/** The drain is bounded, so this is. */
async function drain(): Promise<void> {
  await parts?.worker.stop();
  parts?.shipper.stop();
  const end = (): void => process.exit(0);
  // Once this is sent all before it is.
  if (!report({ type: 'drained' }, end)) end();
}

function obey(order: WorkerOrder, handle: SendHandle): void {
  if (order.type === 'start') {
    parts = start(order);
    return;
  }
  if (parts === null) throw new Error('an order came before the start');
  const { worker } = parts;
  switch (order.type) {
    case 'routes':
      worker.apply(order.table);
      report({ type: 'applied' });
      return;
    case 'connection':
      if (!(handle instanceof Socket)) throw new Error('a connection came without its socket');
      // Not before this is sent: should this process die, the primary serves what it still holds, from its first byte.
      if (!report({ type: 'taken', id: order.id }, () => worker.accept(handle, order.scheme))) {
        worker.accept(handle, order.scheme);
      }
      return;
    case 'park':
      report({ type: 'park_answer', answer: worker.park(order.app_id, order.at_once) });
      return;
    case 'unpark':
      worker.unpark(order.app_id);
      return;
    case 'daemon_connected':
      worker.daemonConnected();
      return;
    case 'drain':
      void drain();
      return;
  }
}

// What reaches the whole group (Ctrl-C in a terminal) reaches the primary too, which decides what becomes of it.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => undefined);
process.on('disconnect', () => void drain());
process.on('message', (message, handle) => obey(parseWorkerOrder(message), handle));
report({ type: 'ready' });
