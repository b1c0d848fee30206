import type { Event } from '../../../src/domain/event';
import { overlaps, webOutages } from '../../support/web-outages';

let id = 0;
function moved(at: number, dyno: string, to: string, dynoId = `id of ${dyno}`): Event {
  return {
    id: (id += 1),
    appId: null,
    kind: 'dyno.state',
    payload: { dyno, id: dynoId, to },
    actor: 'dyno-manager',
    at: new Date(at),
  };
}

describe('webOutages', () => {
  test('are the times between one web dyno and the next', () => {
    const events = [
      moved(10, 'web.1', 'up'),
      moved(15, 'worker.1', 'up'),
      moved(20, 'web.2', 'up'),
      moved(30, 'web.1', 'down'),
      moved(40, 'web.2', 'crashed'),
      moved(55, 'web.2', 'up', 'its successor'),
    ];
    expect(webOutages(events, new Map(), 100)).toEqual([{ from: 40, to: 55 }]);
  });

  test('begin where the last dyno was ended by hand, whenever that was noticed', () => {
    const events = [moved(10, 'web.1', 'up'), moved(30, 'web.1', 'down'), moved(31, 'web.1', 'up', 'new')];
    expect(webOutages(events, new Map([['id of web.1', 22]]), 100)).toEqual([{ from: 22, to: 31 }]);
  });

  test('last until now where there is none any more', () => {
    const events = [moved(10, 'web.1', 'up'), moved(30, 'web.1', 'down')];
    expect(webOutages(events, new Map(), 100)).toEqual([{ from: 30, to: 100 }]);
    expect(webOutages(events.slice(0, 1), new Map([['id of web.1', 20]]), 100)).toEqual([
      { from: 20, to: 100 },
    ]);
  });

  test('are none where there was one all the time', () => {
    expect(webOutages([moved(10, 'web.1', 'up')], new Map(), 100)).toEqual([]);
  });
});

test('periods overlap where they share a moment', () => {
  const periods = [{ from: 10, to: 20 }];
  const overlap = (from: number, to: number): boolean => overlaps(periods, { from, to });
  expect([overlap(1, 9), overlap(1, 10), overlap(12, 13), overlap(20, 30), overlap(21, 30)]).toEqual([
    false,
    true,
    true,
    true,
    false,
  ]);
});
