import { EndOfInput } from '../../../src/rendezvous/end-of-input';
import { FakeClock, settled } from '../../support/fake-clock';

const EOT = 4;

describe('EndOfInput', () => {
  let clock: FakeClock;
  let input: EndOfInput;
  let received: number[];
  let ended: boolean;
  beforeEach(() => {
    clock = new FakeClock();
    input = new EndOfInput(clock);
    received = [];
    ended = false;
    input.on('data', (chunk: Buffer) => received.push(...chunk));
    input.on('end', () => (ended = true));
  });

  test('ends after the last byte, if that is EOT and silence follows', async () => {
    input.write(Buffer.from([1, 2, EOT]));
    await clock.advance(249);
    expect({ received, ended }).toEqual({ received: [1, 2], ended: false });
    await clock.advance(1);
    expect({ received, ended }).toEqual({ received: [1, 2], ended: true });
  });

  test('lets EOT pass in the middle of data, wherever a chunk ends', async () => {
    input.write(Buffer.from([1, EOT, 2, EOT]));
    await clock.advance(100);
    input.write(Buffer.from([EOT]));
    await clock.advance(200);
    input.write(Buffer.from([3]));
    await clock.advance(60_000);
    expect({ received, ended }).toEqual({ received: [1, EOT, 2, EOT, EOT, 3], ended: false });
  });

  test('ends at once with nothing but EOT, and drops what comes too late', async () => {
    input.write(Buffer.from([EOT]));
    await clock.advance(250);
    input.write(Buffer.from([1]));
    await settled();
    expect({ received, ended }).toEqual({ received: [], ended: true });
  });

  test('leaves no timer behind', async () => {
    input.write(Buffer.from([EOT]));
    await settled();
    input.destroy();
    await settled();
    expect(clock.pending).toBe(0);
  });
});
