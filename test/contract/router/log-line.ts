import type { Step } from '../../support/scripted-backend';
import type { Asked, Exchanged, Place } from './place';

export interface Expected {
  code?: string;
  desc?: string;
  cause?: string;
  sock?: 'client' | 'backend';
  at: 'info' | 'warning' | 'error';
  status: number | '';
  /** `-`: empty; `ms`: a number of them. */
  dyno: 'web.1' | '';
  connect: 'ms' | '';
  service: 'ms' | '';
  bytes: number | '';
  method?: string;
  host?: string;
}

export const NOT_DISPATCHED = { dyno: '', connect: '', service: '', bytes: '' } as const;
export const DISPATCHED = { dyno: 'web.1', connect: 'ms', service: 'ms' } as const;

/** The whole line, field by field in Heroku's order. */
function lineOf(place: Place, request: { id: string; path: string }, expected: Expected): RegExp {
  const { sock, at, code, desc, cause } = expected;
  const fields = [
    ...(sock === undefined ? [] : [`sock=${sock}`]),
    `at=${at}`,
    ...(code === undefined ? [] : [`code=${code}`, `desc="${desc ?? ''}"`]),
    ...(cause === undefined ? [] : [`cause="${cause}"`]),
    `method=${expected.method ?? 'GET'}`,
    `path="${request.path}"`,
    `host=${expected.host ?? place.host}`,
    `request_id=${request.id}`,
    'fwd="[0-9a-f.:]+"',
    `dyno=${expected.dyno}`,
    `connect=${expected.connect === 'ms' ? '\\d+ms' : ''}`,
    `service=${expected.service === 'ms' ? '\\d+ms' : ''}`,
    `status=${expected.status}`,
    `bytes=${expected.bytes}`,
    'protocol=http1.[01]',
    'tls=false',
  ];
  return new RegExp(`^${fields.join(' ').replaceAll('.', '\\.').replace('[0-9a-f\\.:]', '[0-9a-f.:]')}$`);
}

/** The log line of that request is as expected. */
export const logged = async (place: Place, exchanged: { id: string; path: string }, expected: Expected) =>
  expect(await place.line(exchanged.id)).toMatch(lineOf(place, exchanged, expected));

/** One line, as expected; the answer has that status. */
export const ends = async (
  place: Place,
  steps: readonly Step[],
  expected: Omit<Expected, 'bytes'> & { bytes?: number | '' },
  asked: Asked = {},
): Promise<Exchanged> => {
  const exchanged = await place.ask(steps, asked);
  expect(exchanged.answer.status).toBe(expected.status);
  await logged(place, exchanged, { bytes: exchanged.bytes.length, ...expected });
  expect(place.linesOf(exchanged.id)).toHaveLength(1);
  return exchanged;
};
