import type { TestClient } from '../../support/router-client';
import { OK } from './place';
import type { Rules } from './rules';

const ROUTING = 'HTTP Routing';
/** Far more than the kernel's buffers on the way take, and far more than a router may hold. */
const FLOOD = 128 * 1024 * 1024;
const HELD_AT_MOST = 48 * 1024 * 1024;

/** The pace at which bytes pass: the slowest one's, and little is held meanwhile. */
export function describeBackPressure(rules: Rules): void {
  const { rule } = rules;

  describe('back-pressure', () => {
    /** Until a count has not moved for a while. */
    const settled = async (count: () => Promise<number> | number): Promise<number> => {
      let last = -1;
      let since = Date.now();
      for (;;) {
        const now = await count();
        if (now !== last) {
          last = now;
          since = Date.now();
        } else if (Date.now() - since > 300) return now;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };
    /** Writes as fast as it may; tells how much has been taken. */
    const pour = (client: TestClient, bytes: number): (() => number) => {
      const block = Buffer.alloc(256 * 1024, 'p');
      let taken = 0;
      const more = (): void => {
        if (taken >= bytes || client.socket.destroyed) return;
        client.socket.write(block, () => {
          taken += block.length;
          more();
        });
      };
      more();
      return () => taken;
    };
    const sentBytes = (id: string) => async (): Promise<number> =>
      (await rules.place.record(id))?.sentBytes ?? 0;

    rule(
      `${ROUTING}, Request buffering`,
      'a client stalls while the dyno does not read, and goes on then',
      async () => {
        const request = rules.place.request(
          [['deaf'], ['gate', 'upload'], ['hear'], ['got', FLOOD / 2], ['send', OK]],
          { method: 'POST', headers: [`Content-Length: ${FLOOD}`] },
        );
        const client = rules.place.client().write(request.text);
        const taken = pour(client, FLOOD);
        const stalled = await settled(taken);
        expect(stalled).toBeLessThan(HELD_AT_MOST);
        await rules.place.open('upload');
        await client.saw('ok');
        expect(taken()).toBeGreaterThan(stalled);
      },
    );

    rule(
      `${ROUTING}, Response buffering`,
      'a dyno stalls while the client does not read, and goes on then',
      async () => {
        const request = rules.place.request([
          ['send', `HTTP/1.1 200 OK\r\nContent-Length: ${FLOOD}\r\n\r\n`],
          ['flood', FLOOD],
        ]);
        const client = rules.place.client();
        client.socket.pause();
        client.write(request.text);
        const stalled = await settled(sentBytes(request.id));
        expect(stalled).toBeGreaterThan(0);
        expect(stalled).toBeLessThan(HELD_AT_MOST);
        client.socket.removeAllListeners('data');
        client.socket.on('data', () => undefined);
        client.socket.resume();
        await rules.place.recorded(request.id, (record) => record.sentBytes > FLOOD / 2, 'it goes on');
      },
    );

    rule('RFC 9110 §7.8', 'so it is in a tunnel, both ways', async () => {
      const request = rules.place.request(
        [
          ['send', 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: flood\r\n\r\n'],
          ['deaf'],
          ['flood', FLOOD],
        ],
        { headers: ['Connection: Upgrade', 'Upgrade: flood'] },
      );
      const client = rules.place.client();
      client.write(request.text);
      await client.saw('101');
      client.socket.pause();
      const taken = pour(client, FLOOD);
      expect(await settled(taken)).toBeLessThan(HELD_AT_MOST);
      expect(await settled(sentBytes(request.id))).toBeLessThan(HELD_AT_MOST);
    });
  });
}
