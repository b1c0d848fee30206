import type { Socket } from 'node:net';
import type { Clock } from '../lib/clock';

export interface TunnelSide {
  socket: Socket;
  /** Read from it already; belongs to the other side. */
  early: Buffer;
}

/**
 * Copies both ways until both sides have ended, one is lost, or nothing has passed for `idleMs`. Either side may end
 * its direction and go on reading.
 */
export function tunnel(
  client: TunnelSide,
  dyno: TunnelSide,
  options: { clock: Clock; idleMs: number; onBytes: (nowMs: number) => void },
): Promise<'closed' | 'idle'> {
  return new Promise((resolve) => {
    const { clock, idleMs } = options;
    let lastAt = clock.now().getTime();
    let idle = false;
    let open = 2;
    const touch = (): void => {
      lastAt = clock.now().getTime();
      options.onBytes(lastAt);
    };
    const watch = (): void => {
      const left = lastAt + idleMs - clock.now().getTime();
      if (left > 0) {
        cancel = clock.after(left, watch);
        return;
      }
      idle = true;
      client.socket.destroy();
      dyno.socket.destroy();
    };
    let cancel = clock.after(idleMs, watch);
    const join = (from: TunnelSide, to: TunnelSide): void => {
      let ended = false;
      // 'end' comes only with a listener for it or this: Node would otherwise answer the end with its own.
      from.socket.allowHalfOpen = true;
      from.socket.setTimeout(0);
      from.socket.setNoDelay(true);
      if (from.early.length > 0) to.socket.write(from.early);
      from.socket.on('data', (chunk) => {
        touch();
        if (!to.socket.write(chunk)) from.socket.pause();
      });
      to.socket.on('drain', () => {
        touch();
        from.socket.resume();
      });
      from.socket.on('end', () => {
        ended = true;
        to.socket.end();
      });
      // 'close' follows and says it to the other side.
      from.socket.on('error', () => from.socket.destroy());
      from.socket.on('close', () => {
        if (!ended) to.socket.destroy();
        open -= 1;
        if (open > 0) return;
        cancel();
        resolve(idle ? 'idle' : 'closed');
      });
      if (from.socket.destroyed) to.socket.destroy();
      else from.socket.resume();
    };
    join(client, dyno);
    join(dyno, client);
  });
}
