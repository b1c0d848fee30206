import { explainUnreachable, parseListeningSockets } from '../../../src/dyno-manager/listening-sockets';

const TCP = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100007F:0BB8 0100007F:E2F0 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 20 4 30 10 -1
   2: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3 1 0 100 0 0 10 0
`;
const TCP6 = `  sl  local_address                         remote_address                        st
   0: 00000000000000000000000001000000:0CEA 00000000000000000000000000000000:0000 0A
   1: 00000000000000000000000000000000:1F91 00000000000000000000000000000000:0000 0A
   2: 0000000000000000FFFF00000100007F:1F92 00000000000000000000000000000000:0000 0A
`;

describe('parseListeningSockets', () => {
  test('reads addresses and ports of sockets that listen, and of those only', () => {
    expect(parseListeningSockets(TCP + TCP6)).toEqual([
      { address: '127.0.0.1', port: 3000 },
      { address: '0.0.0.0', port: 8080 },
      { address: '::1', port: 3306 },
      { address: '::', port: 8081 },
      { address: '127.0.0.1', port: 8082 },
    ]);
  });
});

describe('explainUnreachable', () => {
  test('names loopback, a fixed port, or nothing', () => {
    expect(explainUnreachable([{ address: '127.0.0.1', port: 3000 }], 3000)).toBe(
      'The process listens on 127.0.0.1:3000, where only it can reach itself. Bind to 0.0.0.0 instead.',
    );
    expect(explainUnreachable([{ address: '0.0.0.0', port: 8080 }], 3000)).toBe(
      'The process listens on port 8080, but not on $PORT (3000). Use the PORT environment variable.',
    );
    expect(explainUnreachable([], 3000)).toBeUndefined();
  });
});
