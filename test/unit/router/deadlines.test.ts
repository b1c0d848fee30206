import fc from 'fast-check';
import { Deadline, Deadlines } from '../../../src/router/deadlines';
import { FakeClock } from '../../support/fake-clock';

describe('deadlines', () => {
  test('fall due after their time, unless cleared or set again', async () => {
    const clock = new FakeClock();
    const start = clock.now().getTime();
    const list = new Deadlines(clock, 100);
    const due: string[] = [];
    const named = (name: string): Deadline =>
      new Deadline(() => due.push(`${name} ${clock.now().getTime() - start}`));
    const [a, b, c, d] = [named('a'), named('b'), named('c'), named('d')];
    for (const deadline of [a, b, c]) list.set(deadline);
    await clock.advance(50);
    list.set(a);
    b.clear();
    list.set(d);
    await clock.advance(200);
    expect(due).toEqual(['c 100', 'a 150', 'd 150']);
    expect(clock.pending).toBe(0);
    list.set(b);
    await clock.advance(100);
    expect(due.at(-1)).toBe('b 350');
  });

  test('are kept although one of them sets another', async () => {
    const clock = new FakeClock();
    const start = clock.now().getTime();
    const list = new Deadlines(clock, 100);
    const due: number[] = [];
    const again = new Deadline(() => list.set(again));
    list.set(again);
    await clock.advance(10);
    list.set(new Deadline(() => due.push(clock.now().getTime() - start)));
    await clock.advance(100);
    expect(due).toEqual([110]);
    list.stop();
    await clock.advance(1000);
    expect(clock.pending).toBe(0);
  });

  test('belong to one list at a time', async () => {
    const clock = new FakeClock();
    const due: number[] = [];
    const deadline = new Deadline(() => due.push(clock.now().getTime()));
    const [long, short] = [new Deadlines(clock, 100), new Deadlines(clock, 10)];
    long.set(deadline);
    short.set(deadline);
    await clock.advance(200);
    expect(due).toHaveLength(1);
    long.set(deadline);
    long.stop();
    expect(clock.pending).toBe(0);
  });

  test('behave like as many timers', async () => {
    const steps = fc.array(
      fc.record({ pass: fc.integer({ min: 0, max: 60 }), which: fc.nat(3), clear: fc.boolean() }),
      { maxLength: 30 },
    );
    await fc.assert(
      fc.asyncProperty(steps, async (all) => {
        const clock = new FakeClock();
        const list = new Deadlines(clock, 100);
        const due: string[] = [];
        const expected: string[] = [];
        const cancels: (() => void)[] = [];
        const at = (i: number): string => `${i} ${clock.now().getTime()}`;
        const deadlines = [0, 1, 2, 3].map((i) => new Deadline(() => due.push(at(i))));
        for (const { pass, which, clear } of all) {
          await clock.advance(pass);
          cancels[which]?.();
          if (clear) deadlines[which]!.clear();
          else {
            list.set(deadlines[which]!);
            cancels[which] = clock.after(100, () => expected.push(at(which)));
          }
        }
        await clock.advance(300);
        expect(due.sort()).toEqual(expected.sort());
      }),
      { numRuns: 30 },
    );
  });
});
