import type { Clock } from '../../../src/lib/clock';
import { LogShipper } from '../../../src/router/log-shipper';
import type { RouterMessage } from '../../../src/router/protocol';

let due: (() => void) | null = null;
/** One timer, run by hand. */
const clock: Clock = {
  now: () => new Date(0),
  after: (_delayMs, callback) => {
    due = callback;
    return () => (due = null);
  },
};

function aShipper(maxBuffered = 10) {
  const sent: string[][] = [];
  const state = { accepts: true, sent };
  const shipper = new LogShipper({
    clock,
    flushMs: 50,
    maxBatch: 3,
    maxBuffered,
    send: (message: RouterMessage) => {
      if (!state.accepts || message.type !== 'log') return false;
      sent.push(message.lines.map((line) => line.text));
      return true;
    },
  });
  const push = (...texts: string[]): void => {
    for (const text of texts) shipper.push({ app_id: 'a', at: 'now', text });
  };
  return { shipper, push, state };
}

describe('log shipper', () => {
  test('sends a full batch at once, the rest a moment later', () => {
    const { push, state } = aShipper();
    push('1', '2', '3', '4');
    expect(state.sent).toEqual([['1', '2', '3']]);
    due?.();
    expect(state.sent).toEqual([['1', '2', '3'], ['4']]);
  });

  test('keeps what is not taken and sends it in order, in batches', () => {
    const { push, state } = aShipper();
    state.accepts = false;
    push('1', '2', '3', '4');
    due?.();
    state.accepts = true;
    push('5');
    expect(state.sent).toEqual([
      ['1', '2', '3'],
      ['4', '5'],
    ]);
  });

  test('never keeps more than it may, and says per app what was dropped', () => {
    const { shipper, push, state } = aShipper(20);
    state.accepts = false;
    for (let i = 0; i < 1000; i++) push(String(i));
    state.accepts = true;
    shipper.flush();
    const [report, ...batches] = state.sent;
    const kept = batches.flat();
    expect(kept.length).toBeLessThanOrEqual(20);
    expect(kept.at(-1)).toBe('999');
    expect(report).toEqual([
      `at=warning desc="Router log lines dropped" count=${1000 - kept.length} since=now`,
    ]);
  });
});
