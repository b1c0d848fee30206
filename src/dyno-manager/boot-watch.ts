import { connect } from 'node:net';
import { sleep, type Clock } from '../lib/clock';

export interface Endpoint {
  host: string;
  port: number;
}

const CONNECT_TIMEOUT_MS = 1000;
/** Often enough that a dyno is seen within milliseconds of opening its port; less often for one that takes long. */
const EAGER_MS = 10;
const EAGER_FOR_MS = 10_000;
const PATIENT_MS = 100;

/** Resolves once something accepts connections at the endpoint; rejects only when aborted. */
export async function untilListening(
  endpoint: Endpoint,
  options: { clock: Clock; signal: AbortSignal; settleMs: number },
): Promise<void> {
  const began = options.clock.now().getTime();
  while (!(await isListening(endpoint, options.settleMs))) {
    options.signal.throwIfAborted();
    const waited = options.clock.now().getTime() - began;
    await sleep(options.clock, waited < EAGER_FOR_MS ? EAGER_MS : PATIENT_MS, options.signal);
  }
  options.signal.throwIfAborted();
}

/**
 * Docker's port publishing accepts a connection before the container listens, and closes it again: such a
 * connection must survive `settleMs` to count. 0 where the container is reached directly.
 */
function isListening(endpoint: Endpoint, settleMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: endpoint.host, port: endpoint.port });
    const finish = (listening: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(listening);
    };
    let timer = setTimeout(() => finish(false), CONNECT_TIMEOUT_MS);
    socket.once('error', () => finish(false));
    socket.once('close', () => finish(false));
    socket.once('connect', () => {
      if (settleMs === 0) {
        finish(true);
        return;
      }
      clearTimeout(timer);
      timer = setTimeout(() => finish(true), settleMs);
      socket.resume();
    });
  });
}
