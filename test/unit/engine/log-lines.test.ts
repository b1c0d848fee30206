import fc from 'fast-check';
import type { Frame } from '../../../src/engine/frames';
import { jsonLines } from '../../../src/engine/json-stream';
import {
  formatPosition,
  lastExcluded,
  LineSplitter,
  linesOf,
  MAX_LINE_BYTES,
  parseTime,
  unframed,
} from '../../../src/engine/log-lines';

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

async function* each<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

function record(stream: Frame['stream'], nanoseconds: string, text: string): Frame {
  return { stream, payload: Buffer.from(`2025-01-01T00:00:00.${nanoseconds}Z ${text}`) };
}

describe('LineSplitter', () => {
  test('gives the same lines however the bytes are split', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 60 }), fc.array(fc.nat()), (content, cuts) => {
        const bytes = Buffer.from(content);
        const edges = cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b);
        const whole = new LineSplitter();
        const pieces = new LineSplitter();
        const expected = [...whole.push(bytes), ...whole.flush()];
        const chunks = [0, ...edges].map((edge, index) => bytes.subarray(edge, edges[index] ?? bytes.length));
        expect([...chunks.flatMap((chunk) => pieces.push(chunk)), ...pieces.flush()]).toEqual(expected);
      }),
    );
  });

  test('cuts no character in two at a piece’s end', () => {
    const splitter = new LineSplitter();
    const line = `${'x'.repeat(MAX_LINE_BYTES - 1)}€uro`;
    expect(splitter.push(Buffer.from(`${line}\n`))).toEqual(['x'.repeat(MAX_LINE_BYTES - 1), '€uro']);
  });

  test('makes no empty line of the rest of a line of exactly one piece', () => {
    const splitter = new LineSplitter();
    const line = Buffer.alloc(MAX_LINE_BYTES, 'x');
    expect(splitter.push(Buffer.concat([line, Buffer.from('\r\n\nnext\n')]))).toEqual([
      line.toString(),
      '',
      'next',
    ]);
    expect([...splitter.push(line), ...splitter.push(Buffer.from('\r')), ...splitter.push(Buffer.from('\n'))])
      // The carriage return was given out with what came before it could be known for a line end.
      .toHaveLength(1);
  });

  test('survives bytes that are no UTF-8', () => {
    expect(new LineSplitter().push(Buffer.from([0x61, 0xff, 0xfe, 0x0a]))).toEqual(['a\ufffd\ufffd']);
    const junk = Buffer.alloc(2 * MAX_LINE_BYTES + 1, 0x80);
    expect(new LineSplitter().push(junk).map((piece) => piece.length)).toEqual([
      MAX_LINE_BYTES,
      MAX_LINE_BYTES,
    ]);
  });
});

describe('linesOf', () => {
  test('joins the records that the engine makes of one long line', async () => {
    const frames = [
      record('stdout', '000000001', 'begin '),
      record('stderr', '000000002', 'between\n'),
      record('stdout', '000000003', 'end\n'),
    ];
    const lines = await collect(linesOf(each(frames), -1n));
    expect(lines.map(({ stream, text }) => [stream, text])).toEqual([
      ['stderr', 'between'],
      ['stdout', 'begin end'],
    ]);
    expect(lines[1]?.position).toBe('1735689600.000000001');
  });

  test('leaves out lines up to and including a position', async () => {
    const frames = ['1', '2', '3'].map((digit) => record('stdout', `00000000${digit}`, `line ${digit}\n`));
    const lines = await collect(linesOf(each(frames), lastExcluded('1735689600.000000002')));
    expect(lines.map(({ text }) => text)).toEqual(['line 3']);
  });

  test('reads a terminal’s log, which has no frames', async () => {
    const log = '2025-01-01T00:00:00.5Z one\r\n2025-01-01T00:00:01Z two';
    const chunks = Array.from(Buffer.from(log), (byte) => Buffer.from([byte]));
    const lines = await collect(linesOf(unframed(each(chunks)), -1n));
    expect(lines.map(({ text }) => text)).toEqual(['one', 'two']);
    expect(lines[0]?.at).toEqual(new Date('2025-01-01T00:00:00.500Z'));
  });
});

describe('positions', () => {
  test('times are read with their nanoseconds and offsets', () => {
    expect(parseTime('1970-01-01T00:00:01.000000002Z')).toBe(1_000_000_002n);
    expect(parseTime('1970-01-01T02:00:01.5+02:00')).toBe(1_500_000_000n);
    expect(parseTime('yesterday')).toBeUndefined();
  });

  test('a position is read back as it was written', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 10n ** 19n }), (time) => {
        expect(lastExcluded(formatPosition(time))).toBe(time);
      }),
    );
  });

  test('a date excludes its whole millisecond', () => {
    expect(lastExcluded(new Date(5))).toBe(5_999_999n);
    expect(() => lastExcluded('garbage')).toThrow(RangeError);
  });
});

describe('jsonLines', () => {
  test('reads the same values however the bytes are split', async () => {
    const values = [{ a: 'ä€😀' }, { b: [1, 2] }, { c: null }];
    const bytes = Buffer.from(values.map((value) => JSON.stringify(value)).join('\r\n'));
    for (let cut = 0; cut <= bytes.length; cut++) {
      expect(await collect(jsonLines(each([bytes.subarray(0, cut), bytes.subarray(cut)])))).toEqual(values);
    }
  });
});
