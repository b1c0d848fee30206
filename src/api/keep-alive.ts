import type { Clock } from '../lib/clock';

/** What Heroku sends where a build prints nothing for a while, lest something on the way takes the connection for dead. */
const NUL = Buffer.from([0]);

/** The same chunks, with a NUL whenever none has come for `silenceMs`. */
export async function* withKeepAlive(
  chunks: AsyncIterable<Buffer>,
  clock: Clock,
  silenceMs: number,
): AsyncGenerator<Buffer> {
  const iterator = chunks[Symbol.asyncIterator]();
  try {
    let next = iterator.next();
    for (;;) {
      let cancel = (): void => undefined;
      const silence = new Promise<undefined>((resolve) => {
        cancel = clock.after(silenceMs, () => resolve(undefined));
      });
      const result = await Promise.race([next, silence]).finally(cancel);
      if (result === undefined) yield NUL;
      else if (result.done === true) return;
      else {
        yield result.value;
        next = iterator.next();
      }
    }
  } finally {
    // Not awaited: it may wait for output that never comes.
    void iterator.return?.().catch(() => undefined);
  }
}
