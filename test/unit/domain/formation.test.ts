import { parseDynoSize } from '../../../src/domain/dyno-size';
import { assertHerokuLimits, parseQuantity } from '../../../src/domain/formation';

const entry = (
  type: string,
  quantity: number,
  size: string,
): Parameters<typeof assertHerokuLimits>[0][number] => ({
  type,
  quantity,
  size: parseDynoSize(size),
});

describe('parseQuantity', () => {
  test('takes numbers, texts and steps, never below none', () => {
    expect([2, '2', '+1', '-1', '-9'].map((value) => parseQuantity(value, 3))).toEqual([2, 2, 4, 2, 0]);
    expect(() => parseQuantity('many', 1)).toThrow('Quantity many is not a number of dynos.');
  });
});

describe('assertHerokuLimits', () => {
  test('allows one eco or basic dyno per type and ten performance dynos', () => {
    expect(() => assertHerokuLimits([entry('web', 1, 'eco'), entry('worker', 1, 'eco')])).not.toThrow();
    expect(() => assertHerokuLimits([entry('web', 2, 'basic')])).toThrow(
      'Cannot update to more than 1 Basic size dynos per process type.',
    );
    expect(() => assertHerokuLimits([entry('web', 11, 'performance-m')])).toThrow(
      'more than 10 Performance-M',
    );
    expect(() => assertHerokuLimits([entry('web', 50, 'standard-1x')])).not.toThrow();
  });

  test('allows two eco dynos per app', () => {
    const three = ['web', 'worker', 'clock'].map((type) => entry(type, 1, 'eco'));
    expect(() => assertHerokuLimits(three)).toThrow('Cannot run more than 2 Eco size dynos.');
  });

  test('does not let eco or basic be mixed with other sizes', () => {
    expect(() => assertHerokuLimits([entry('web', 1, 'basic'), entry('worker', 1, 'standard-1x')])).toThrow(
      'Cannot mix Basic and Standard-1X dynos',
    );
    expect(() =>
      assertHerokuLimits([entry('web', 1, 'basic'), entry('worker', 0, 'standard-1x')]),
    ).not.toThrow();
    expect(() =>
      assertHerokuLimits([entry('web', 1, 'performance-m'), entry('worker', 1, 'standard-1x')]),
    ).not.toThrow();
  });
});
