import fc from 'fast-check';
import { aDyno, anApp, eventually, RouterBench, type TestClient } from '../../support/router-client';
import { readAnswers, readStrictly, valuesOf, type StrictRequest } from '../../support/http-messages';
import { decoded, ScriptedBackend, type ConnectionStream } from '../../support/scripted-backend';
import { OK, Place } from './place';

/**
 * Random requests, random damage, random cuts. Whatever a client sends: a dyno sees nothing but well-formed requests,
 * each of them one that the client framed, and the router answers or closes, and serves the next one.
 *
 * FUZZ_SEED and FUZZ_RUNS look elsewhere, and for longer; a failure prints both and the smallest example.
 */
const SEED = Number(process.env.FUZZ_SEED ?? 1);
const RUNS = Number(process.env.FUZZ_RUNS ?? 250);
const HOST = 'demo.localhost';

let backend: ScriptedBackend;
let bench: RouterBench;
let place: Place;
beforeAll(async () => {
  backend = await ScriptedBackend.start();
  bench = await new RouterBench().start();
  await bench.daemon.serve(anApp({ hosts: [HOST], dynos: [aDyno(backend.port)] }));
  place = new Place({ port: bench.router.httpPort, host: HOST, lines: () => [] });
});
afterEach(() => place.hangUp());
afterAll(async () => {
  await bench.stop();
  await backend.stop();
});

/** Deep enough for a framing to go wrong in, and with a request in it for whoever reads on too early. */
const DECOY = `GET /smuggled HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`;

/** One of these bytes. */
const oneOf = (characters: string): fc.Arbitrary<string> => fc.constantFrom(...characters.split(''));

const token = fc
  .string({ unit: oneOf("abcXYZ019-_!#$%&'*+.^`|~"), minLength: 1, maxLength: 8 })
  .map((text) => `X-${text}`);
const value = fc.string({
  unit: oneOf('abc XYZ\t019"\\;,=:/()[]{}<>@?\x80\xe9\xff'),
  maxLength: 30,
});
const content = fc.oneof(
  fc.constant(DECOY),
  fc.string({ unit: oneOf('0123af\r\n;: GETHTTP/1.1\0\xff'), maxLength: 60 }),
);

interface Body {
  lines: string[];
  text: string;
}

const body: fc.Arbitrary<Body> = fc.oneof(
  fc.constant<Body>({ lines: [], text: '' }),
  content.map((text) => ({ lines: [`Content-Length: ${text.length}`], text })),
  fc
    .record({
      chunks: fc.array(
        content.filter((text) => text !== ''),
        { maxLength: 4 },
      ),
      upper: fc.boolean(),
      extension: fc.constantFrom('', ';a', ';a=b', ';a="b;c"'),
      trailers: fc.constantFrom('', 'X-Sum: 1\r\n', 'X-Sum: 1\r\nx-more:\r\n'),
    })
    .map(({ chunks, upper, extension, trailers }) => ({
      lines: ['Transfer-Encoding: chunked'],
      text: `${chunks
        .map((chunk) => {
          const size = chunk.length.toString(16);
          return `${upper ? size.toUpperCase() : `0${size}`}${extension}\r\n${chunk}\r\n`;
        })
        .join('')}0\r\n${trailers}\r\n`,
    })),
);

let lastId = 0;
/** A well-formed request with a path of its own. */
const request = fc
  .record({
    method: fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'),
    query: fc.constantFrom('', '?', '?a=b', '/../x//', '?\'"{}|\\^`<>'),
    fields: fc.array(fc.tuple(token, value), { maxLength: 5 }),
    body,
    bodyFirst: fc.boolean(),
  })
  .map(({ method, query, fields, body: { lines, text }, bodyFirst }) => {
    const own = fields.map(([name, text_]) => `${name}: ${text_}`);
    const path = `/f/${++lastId}${query}`;
    const head = [
      `${method} ${path} HTTP/1.1`,
      `Host: ${HOST}`,
      ...(bodyFirst ? [...lines, ...own] : [...own, ...lines]),
    ];
    return `${head.join('\r\n')}\r\n\r\n${text}`;
  });

/** Lines that have fooled somebody. */
const EVIL_LINES = [
  'Content-Length: 0',
  'Content-Length: 5',
  'Content-Length: +5',
  'Content-Length: 5, 5',
  'Content-Length:5\r\nContent-Length:6',
  'content-length:\t7',
  'Content-Length : 5',
  'Content_Length: 5',
  'Transfer-Encoding: chunked',
  'Transfer-Encoding: xchunked',
  'Transfer-Encoding: chunked, identity',
  'Transfer-Encoding: identity',
  'Transfer-Encoding : chunked',
  'Transfer-Encoding:\r\n chunked',
  'Transfer-Encoding\r\n: chunked',
  'transfer-encoding:chunked',
  'X: y\nTransfer-Encoding: chunked',
  'X: y\rTransfer-Encoding: chunked',
  'Transfer-Encoding: \x0bchunked',
  ' Transfer-Encoding: chunked',
  'Connection: Content-Length',
  'Connection: Transfer-Encoding, close',
  'Connection: close',
  'Connection: Upgrade\r\nUpgrade: websocket',
  'Upgrade: h2c',
  'Expect: 100-continue',
  'Host: other.example',
  'Host : demo.localhost',
  'X-HTTP-Method-Override: PUT',
  'Trailer: Content-Length',
  '',
  '\r\n',
  ':',
  'X: \0',
];

type Damage =
  | { kind: 'insert' | 'replace'; at: number; text: string }
  | { kind: 'delete'; at: number; length: number }
  | { kind: 'line'; at: number; text: string }
  | { kind: 'again'; at: number }
  | { kind: 'bare'; at: number };

/** A place in a text, as a part of its length. Without bias, which would prefer the very beginning. */
const at = fc.noBias(fc.nat(9999)).map((place_) => place_ / 10_000);
const odd = fc.string({
  unit: oneOf('\r\n\0\t :;,/.0123456789abcdefxGETHOPUC"\x0b\x7f\x80\xff%@+-'),
  minLength: 1,
  maxLength: 4,
});
const damage: fc.Arbitrary<Damage> = fc.oneof(
  fc.record({ kind: fc.constantFrom('insert' as const, 'replace' as const), at, text: odd }),
  fc.record({ kind: fc.constant('delete' as const), at, length: fc.integer({ min: 1, max: 12 }) }),
  fc.record({ kind: fc.constant('line' as const), at, text: fc.constantFrom(...EVIL_LINES) }),
  fc.record({ kind: fc.constantFrom('again' as const, 'bare' as const), at }),
);

/** Where the n-th of all line ends is; lines are what most damage is done to. */
function lineEnd(text: string, where: number): number {
  const ends = [...text.matchAll(/\r\n/g)].map(({ index }) => index);
  return ends[Math.floor(where * ends.length)] ?? 0;
}

function damaged(text: string, { kind, ...more }: Damage): string {
  const here = Math.floor(more.at * (text.length + 1));
  const end = lineEnd(text, more.at);
  switch (kind) {
    case 'insert':
      return text.slice(0, here) + (more as { text: string }).text + text.slice(here);
    case 'replace': {
      const put = (more as { text: string }).text;
      return text.slice(0, here) + put + text.slice(here + put.length);
    }
    case 'delete':
      return text.slice(0, here) + text.slice(here + (more as { length: number }).length);
    case 'line':
      return `${text.slice(0, end)}\r\n${(more as { text: string }).text}${text.slice(end)}`;
    case 'again': {
      const start = text.lastIndexOf('\r\n', end - 1);
      return text.slice(0, end) + text.slice(Math.max(0, start), end) + text.slice(end);
    }
    case 'bare':
      return text.slice(0, end) + text.slice(end + 1);
  }
}

const cuts = fc.array(at, { maxLength: 8 });

/** Writes the text in pieces, each in a packet of its own as far as the kernel goes along. */
async function write(client: TestClient, text: string, where: readonly number[]): Promise<void> {
  const ends = [...where.map((cut) => Math.floor(cut * text.length)), text.length].sort((a, b) => a - b);
  let start = 0;
  for (const end of ends) {
    if (client.closed) return;
    if (end > start) client.write(text.slice(start, end));
    start = end;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const keyOf = ({ method, target, body: text }: StrictRequest): string => {
  const path = target.replace(/^https?:\/\/[^/?#]*/i, '');
  return JSON.stringify([method, path.startsWith('/') || path === '*' ? path : `/${path}`, text]);
};

/** What was framed and may yet be seen by the dyno, how often. */
const framed = new Map<string, number>();
/** The latest that was sent: fast-check shows the run in which it is noticed, which may be a later one. */
const sent: string[] = [];
/** Requests of each connection of the dyno that have been judged. */
const judged = new Map<number, number>();
/** Random requests that reached the dyno. Without any, nothing would be proven. */
let reached = 0;

/** What the test asks the backend beside the random requests. */
const OUR_OWN = /^\/(s|received|streams)(\/|$)/;

/** The invariant on the dyno's side. */
async function judgeStreams(): Promise<void> {
  const text = await place.send(`GET /streams HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`);
  const [answer] = readAnswers(text);
  for (const { connection, raw } of (JSON.parse(answer!.body) as ConnectionStream[]).map(decoded)) {
    const read = readStrictly(raw);
    if (read.rest === 'malformed') throw new Error(`the dyno saw ${read.problem ?? ''}:\n${raw}`);
    for (const seen of read.requests.slice(judged.get(connection) ?? 0)) {
      if (OUR_OWN.test(seen.target)) continue;
      const key = keyOf(seen);
      const left = framed.get(key) ?? 0;
      if (left === 0) {
        const id = /^\/f\/\d+/.exec(seen.target)?.[0] ?? '';
        const from = sent.findLast((text_) => text_.includes(id));
        throw new Error(
          `the dyno saw a request that no client framed: ${key}\n${raw}\nof ${JSON.stringify(from)}`,
        );
      }
      framed.set(key, left - 1);
      reached += 1;
    }
    judged.set(connection, read.requests.length);
  }
}

/** The invariant on the client's side: sends the text and waits for all answers that it is owed, or the end. */
async function judgeAnswers(text: string, where: readonly number[]): Promise<void> {
  const read = readStrictly(text, { fromClient: true });
  sent.push(text);
  if (sent.length > 50) sent.shift();
  for (const each of read.requests) {
    // Its end is clear, so the next one may be served; itself it is for no app.
    if (valuesOf(each.headers, 'host').length !== 1) continue;
    const key = keyOf(each);
    framed.set(key, (framed.get(key) ?? 0) + 1);
  }
  const client = place.client();
  await write(client, text, where);
  // A fault behind them gets an answer too.
  const methods = [...read.requests.map(({ method }) => method), 'GET'];
  const answers = (): number => {
    try {
      return readAnswers(client.text, methods).filter(({ status, whole }) => whole && status >= 200).length;
    } catch {
      // Half a head; what is malformed is found out below.
      return 0;
    }
  };
  const over = (): boolean => client.ended || client.closed;
  if (read.rest === 'nothing') {
    await eventually(() => over() || answers() >= read.requests.length, `an answer to ${text}`);
  } else {
    const deadline = Date.now() + 40;
    while (!over() && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 2));
  }
  client.socket.end();
  await eventually(over, `the end of the connection after ${text}; it has ${client.text}`);
  if (client.text !== '') readAnswers(client.text, methods);
  client.socket.destroy();
}

/** And enough of the requests before were ones that a dyno may see. */
async function stillServes(runs: number): Promise<void> {
  expect(reached).toBeGreaterThanOrEqual(runs / 20);
  reached = 0;

  const { answer } = await place.ask([['send', OK]]);
  expect(answer.status).toBe(200);
}

const check = <T>(property: fc.IAsyncProperty<T>, numRuns = RUNS): Promise<void> =>
  fc.assert(property, { seed: SEED, numRuns });

describe(`random requests (seed ${SEED}, ${RUNS} runs)`, () => {
  jest.setTimeout(60_000 + RUNS * 200);

  test('a request is the same to the dyno however it is split over packets', async () => {
    const seen = async (text: string, where: readonly number[]): Promise<unknown> => {
      const { id, path } = place.request([['body'], ['send', OK]]);
      const [line = '', ...rest] = text.split('\r\n');
      const sent = [line.replace(/ \S+ /, ` ${path} `), `X-Request-ID: ${id}`, 'Connection: close', ...rest];
      const client = place.client();
      await write(client, sent.join('\r\n'), where);
      const bytes = await client.end();
      const request_ = await place.received(id);
      return {
        status: bytes.slice(0, 12),
        ...request_,
        target: '',
        headers: request_.headers.filter(([name]) => !/^X-Request-(ID|Start)$/i.test(name)),
      };
    };
    await check(
      fc.asyncProperty(request, cuts, async (text, where) => {
        expect(await seen(text, where)).toEqual(await seen(text, []));
      }),
      Math.ceil(RUNS / 3),
    );
  });

  test('of a damaged request, a dyno sees a well-formed one or none', async () => {
    await check(
      fc.asyncProperty(
        request,
        fc.array(damage, { minLength: 1, maxLength: 2 }),
        cuts,
        async (text, faults, where) => {
          await judgeAnswers(faults.reduce(damaged, text), where);
          await judgeStreams();
        },
      ),
    );
    await stillServes(RUNS);
  });

  test('of several requests at once, some damaged, a dyno sees no more than the client framed', async () => {
    await check(
      fc.asyncProperty(
        fc.array(fc.tuple(request, fc.array(damage, { maxLength: 2 })), { minLength: 2, maxLength: 3 }),
        cuts,
        async (several, where) => {
          await judgeAnswers(several.map(([text, faults]) => faults.reduce(damaged, text)).join(''), where);
          await judgeStreams();
        },
      ),
    );
    await stillServes(RUNS);
  });

  test('any bytes at all are answered or end the connection', async () => {
    await check(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 200 }), cuts, async (bytes, where) => {
        await judgeAnswers(Buffer.from(bytes).toString('latin1'), where);
        await judgeStreams();
      }),
      Math.ceil(RUNS / 3),
    );
    await stillServes(0);
  });
});
