import { RouterLines } from '../../../src/cli/bench/router-lines';
import { formatLogLine as formatAppLine } from '../../../src/domain/log-line';
import { badRequest, routerError } from '../../../src/router/errors';
import { formatLogLine, type RequestRecord } from '../../../src/router/log-line';

const ID = 'dynodock-bench-8601b555-6a83-4c12-8269-97c8e32cdb22';

function line(more: Partial<RequestRecord> = {}): string {
  const text = formatLogLine({
    error: null,
    method: 'GET',
    path: '/',
    host: 'shop.localhost',
    requestId: ID,
    fwd: ['127.0.0.1'],
    dyno: 'web.1',
    connectMs: 0,
    serviceMs: 3,
    status: 200,
    bytes: 120,
    httpVersion: '1.1',
    tls: null,
    ...more,
  });
  return formatAppLine({ at: new Date(0), source: 'heroku', process: 'router', text });
}

function tallyOf(...lines: string[]): unknown {
  const counted = new RouterLines(ID);
  for (const text of lines) counted.add(text);
  const { linesSeen, dynos, hCodes } = counted.tally;
  return { linesSeen, dynos: Object.fromEntries(dynos), hCodes: Object.fromEntries(hCodes) };
}

describe("the router's lines of a run", () => {
  test('tell which dynos served', () => {
    expect(tallyOf(line(), line({ dyno: 'web.2' }), line())).toEqual({
      linesSeen: 3,
      dynos: { 'web.1': 2, 'web.2': 1 },
      hCodes: {},
    });
  });

  test('tell H-codes, of requests that reached no dyno as well', () => {
    const refused = { dyno: null, connectMs: null, serviceMs: null, bytes: null, status: 503 };
    expect(
      tallyOf(
        line({ error: routerError('H14'), ...refused }),
        line({ error: routerError('H12'), status: 503 }),
        line({ error: routerError('H12'), status: 503 }),
        line({ error: routerError('H18') }),
        line({ error: badRequest('bad chunk'), status: 400 }),
      ),
    ).toEqual({
      linesSeen: 5,
      dynos: { 'web.1': 4 },
      hCodes: {
        H14: { desc: 'No web processes running', count: 1 },
        H12: { desc: 'Request timeout', count: 2 },
        H18: { desc: 'Server Request Interrupted', count: 1 },
        H26: { desc: 'Request Error', count: 1 },
      },
    });
  });

  test("leave out other requests', whatever their paths say", () => {
    expect(
      tallyOf(
        line({ requestId: '8601b555-6a83-4c12-8269-97c8e32cdb22' }),
        line({ requestId: 'another-request-of-somebody', path: `/?request_id=${ID}` }),
        line({ requestId: 'another-request-of-somebody', path: `/" request_id=${ID} "` }),
        formatAppLine({
          at: new Date(0),
          source: 'heroku',
          process: 'router',
          text: 'at=warning desc="Router log lines dropped" count=12 since=1970-01-01T00:00:00.000Z',
        }),
      ),
    ).toEqual({ linesSeen: 0, dynos: {}, hCodes: {} });
  });

  test('are read behind a path with quotes, spaces and line breaks', () => {
    expect(tallyOf(line({ path: '/a "b\\" dyno=web.9\r\nstatus=1' }))).toEqual({
      linesSeen: 1,
      dynos: { 'web.1': 1 },
      hCodes: {},
    });
  });
});
