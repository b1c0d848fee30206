import fc from 'fast-check';
import { badRequest, routerError } from '../../../src/router/errors';
import { formatLogLine, type RequestRecord } from '../../../src/router/log-line';

const record: RequestRecord = {
  error: null,
  method: 'GET',
  path: '/posts?x=1',
  host: 'myapp.herokuapp.com',
  requestId: '8601b555-6a83-4c12-8269-97c8e32cdb22',
  fwd: ['204.204.204.204'],
  dyno: 'web.1',
  connectMs: 1,
  serviceMs: 18,
  status: 200,
  bytes: 13,
  httpVersion: '1.1',
  tls: { version: 'tlsv1.3' },
};

describe('router log line', () => {
  test("has Heroku's fields in Heroku's order", () => {
    expect(formatLogLine(record)).toBe(
      'at=info method=GET path="/posts?x=1" host=myapp.herokuapp.com request_id=8601b555-6a83-4c12-8269-97c8e32cdb22 fwd="204.204.204.204" dyno=web.1 connect=1ms service=18ms status=200 bytes=13 protocol=http1.1 tls=true tls_version=tls1.3',
    );
  });

  test('leaves empty what was not reached', () => {
    const nothing = { dyno: null, connectMs: null, serviceMs: null, bytes: null };
    expect(formatLogLine({ ...record, ...nothing, error: routerError('H10'), status: 503, tls: null })).toBe(
      'at=error code=H10 desc="App crashed" method=GET path="/posts?x=1" host=myapp.herokuapp.com request_id=8601b555-6a83-4c12-8269-97c8e32cdb22 fwd="204.204.204.204" dyno= connect= service= status=503 bytes= protocol=http1.1 tls=false',
    );
  });

  test('names the broken side of H18 and the cause of H26', () => {
    expect(formatLogLine({ ...record, error: routerError('H18') })).toMatch(
      /^sock=backend at=error code=H18 desc="Server Request Interrupted" method=/,
    );
    expect(formatLogLine({ ...record, error: badRequest('bad chunk') })).toMatch(
      /^at=error code=H26 desc="Request Error" cause="bad chunk" method=/,
    );
  });

  test('is one line whose fields no client can forge', () => {
    const field = /(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^ "]*))(?: |$)/gy;
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.array(fc.string({ unit: 'binary' })), (path, fwd) => {
        const line = formatLogLine({ ...record, path, fwd });
        // eslint-disable-next-line no-control-regex -- what must not be in it
        expect(line).not.toMatch(/[\u0000-\u001f\u2028\u2029]/);
        const fields = [...line.matchAll(field)];
        expect(fields.map((match) => match[0]).join('')).toBe(line);
        expect(fields.map((match) => match[1])).toEqual([
          'at',
          'method',
          'path',
          'host',
          'request_id',
          'fwd',
          'dyno',
          'connect',
          'service',
          'status',
          'bytes',
          'protocol',
          'tls',
          'tls_version',
        ]);
      }),
    );
  });
});
