import { deferred, type Deferred } from '../../../src/lib/deferred';
import { Turns } from '../../../src/lib/turns';

test('work of one key waits for what came before, well or not, and other keys do not', async () => {
  const turns = new Turns<string>();
  const order: string[] = [];
  const gate: Deferred<void> = deferred();
  const first = turns.take('a', async () => {
    await gate.promise;
    order.push('first');
    throw new Error('first failed');
  });
  const second = turns.take('a', async () => {
    order.push('second');
    return 2;
  });
  await turns.take('b', async () => {
    order.push('other');
  });
  gate.resolve();
  await expect(first).rejects.toThrow('first failed');
  expect(await second).toBe(2);
  expect(order).toEqual(['other', 'first', 'second']);
});
