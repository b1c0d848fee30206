import { once } from 'node:events';
import { connect } from 'node:net';
import { makeCertificate, RSA } from '../../support/certificates';
import { HttpsBench } from '../../support/https-bench';
import { aDyno, eventually, HELLO, onHeads, type TestDyno } from '../../support/router-client';

const GET = (host: string): string => `GET /a?b=c HTTP/1.1\nHost: ${host}`;

let bench: HttpsBench;
let dyno: TestDyno;
beforeEach(async () => {
  bench = await new HttpsBench().start();
  dyno = await bench.dyno(HELLO);
});
afterEach(() => bench.stop());

describe('https', () => {
  test('serves apps as http does, and says so to the dyno and in the log', async () => {
    await bench.serve(await bench.app({ dynos: [aDyno(dyno.port)] }));
    const answer = await bench.secureRequest(GET(`demo.localhost:${bench.httpsPort}`), 'demo.localhost');
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(answer).toMatch(/\r\n\r\nhello$/);
    expect(dyno.received).toContain('\r\nX-Forwarded-Proto: https\r\n');
    expect(dyno.received).toContain(`\r\nX-Forwarded-Port: ${bench.httpsPort}\r\n`);
    expect(dyno.received).toContain('\r\nX-Forwarded-For: 127.0.0.1\r\n');
    expect(await bench.daemon.line()).toMatch(
      new RegExp(
        `^at=info method=GET path="/a\\?b=c" host=demo\\.localhost request_id=\\S+ fwd="127\\.0\\.0\\.1" dyno=web\\.1 connect=\\d+ms service=\\d+ms status=200 bytes=${answer.length} protocol=http1\\.1 tls=true tls_version=tls1\\.3$`,
      ),
    );
    expect(await bench.get()).toContain('hello');
    expect(dyno.received).toContain('\r\nX-Forwarded-Proto: http\r\n');
  });

  test('shows each host its own certificate, exact names before wildcards', async () => {
    await bench.serve(
      await bench.app({ hosts: ['demo.localhost', 'www.example.com'] }),
      await bench.app({ app_id: 'other', hosts: ['*.example.com'] }),
    );
    const nameFor = async (host: string): Promise<string | undefined> =>
      (await bench.connect(host)).getPeerCertificate().subjectaltname;
    expect(await nameFor('demo.localhost')).toBe('DNS:demo.localhost');
    expect(await nameFor('WWW.example.com')).toBe('DNS:www.example.com');
    expect(await nameFor('shop.example.com')).toBe('DNS:*.example.com');
  });

  test.each([
    ['TLSv1.3', 'ECDSA first', 'ecdsa_secp256r1_sha256:rsa_pss_rsae_sha256', 'DEFAULT'],
    ['TLSv1.3', 'RSA first', 'rsa_pss_rsae_sha256:ecdsa_secp256r1_sha256', 'DEFAULT'],
    ['TLSv1.2', 'ECDSA first', 'ecdsa_secp256r1_sha256:rsa_pss_rsae_sha256', 'ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256'],
    ['TLSv1.2', 'RSA first', 'rsa_pss_rsae_sha256:ecdsa_secp256r1_sha256', 'ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256'],
  ] as const)('shows it whatever key it has, to a client of %s that likes %s', async (version, _likes, sigalgs, ciphers) => {
    const ecdsa = await bench.certificate(['ecdsa.example']);
    const rsa = bench.put(await makeCertificate({ names: ['rsa.example'], issuer: bench.ca, algorithm: RSA }));
    const certificates = { 'ecdsa.example': ecdsa, 'rsa.example': rsa };
    await bench.serve(await bench.app({ hosts: Object.keys(certificates), certificates }));
    const client = { minVersion: version, maxVersion: version, sigalgs, ciphers };
    for (const host of Object.keys(certificates)) {
      expect((await bench.connect(host, client)).getPeerCertificate().subjectaltname).toBe(`DNS:${host}`);
    }
  }); // prettier-ignore

  test('sends intermediate certificates along', async () => {
    const intermediate = await makeCertificate({ subject: 'CN=Between', authority: true, issuer: bench.ca });
    const leaf = await makeCertificate({ names: ['www.example.com'], issuer: intermediate });
    const id = bench.put({ key: leaf.key, cert: leaf.cert + intermediate.cert });
    await bench.serve(
      await bench.app({ hosts: ['www.example.com'], certificates: { 'www.example.com': id } }),
    );
    const socket = await bench.connect('www.example.com');
    expect(socket.authorized).toBe(true);
  });

  test('tells a client of an unknown host that there is no such app, under the default certificate', async () => {
    await bench.serve(await bench.app({}));
    const client = { checkServerIdentity: () => undefined };
    const answer = await bench.secureRequest(GET('nobody.localhost'), 'nobody.localhost', client);
    expect(answer).toMatch(/^HTTP\/1\.1 404 Not Found\r\n/);
    expect(answer).toContain('No such app');
    expect(bench.daemon.lines).toEqual([]);
  });

  test('goes by Host alone for a client that names no host in its handshake', async () => {
    await bench.serve(await bench.app({ dynos: [aDyno(dyno.port)] }));
    const client = { checkServerIdentity: () => undefined };
    const socket = await bench.connect(null, client);
    expect(socket.getPeerCertificate().subjectaltname).toBe('DNS:localhost');
    expect(await bench.secureRequest(GET('demo.localhost'), null, client)).toContain('hello');
  });

  test('sends a request for an app that the certificate is not for away: 421, H32', async () => {
    const both = await bench.certificate(['one.example', 'two.example']);
    const certificates = { 'one.example': both };
    const one = await bench.app({ hosts: ['one.example'], certificates, dynos: [aDyno(dyno.port)] });
    const two = await bench.app({ app_id: 'two', hosts: ['two.example'], dynos: [aDyno(dyno.port)] });
    const three = await bench.app({ app_id: 'three', hosts: ['three.example'], dynos: [aDyno(dyno.port)] });
    await bench.serve(one, two, three);
    // Not its own, but one that is for it too.
    expect(await bench.secureRequest(GET('two.example'), 'one.example')).toContain('hello');
    expect(dyno.received).toContain('two.example');
    const refused = await bench.secureRequest(GET('three.example'), 'one.example');
    expect(refused).toMatch(/^HTTP\/1\.1 421 Misdirected Request\r\n/);
    expect(dyno.received).not.toContain('three.example');
    expect(await bench.daemon.line(1)).toMatch(
      /^at=error code=H32 desc="TLS Certificate Mismatch" method=GET path="\/a\?b=c" host=three\.example .* dyno= connect= service= status=421 bytes= protocol=http1\.1 tls=true tls_version=tls1\.3$/,
    );
    expect(bench.daemon.lines[1]?.app_id).toBe('three');
  });

  test('speaks TLS 1.2, names it in the log, and nothing older', async () => {
    await bench.serve(await bench.app({ dynos: [aDyno(dyno.port)] }));
    const only = (version: 'TLSv1.1' | 'TLSv1.2') => ({
      minVersion: version,
      maxVersion: version,
      // Else this client's own OpenSSL would refuse TLS 1.1.
      ciphers: 'DEFAULT@SECLEVEL=0',
    });
    await bench.secureRequest(GET('demo.localhost'), 'demo.localhost', only('TLSv1.2'));
    expect(await bench.daemon.line()).toMatch(/ tls=true tls_version=tls1\.2$/);
    await expect(bench.connect('demo.localhost', only('TLSv1.1'))).rejects.toThrow(/protocol version/);
  });

  test.each(['TLSv1.2', 'TLSv1.3'] as const)('resumes sessions of %s', async (version) => {
    const certificates = { 'demo.localhost': await bench.certificate(['demo.localhost', 'two.example']) };
    const hosts = ['demo.localhost', 'two.example'];
    await bench.serve(await bench.app({ hosts, certificates, dynos: [aDyno(dyno.port)] }));
    const only = { minVersion: version, maxVersion: version };
    const first = await bench.connect('demo.localhost', only);
    first.write('GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n');
    await once(first, 'data');
    const session = await bench.sessionOf(first);
    const second = await bench.connect('demo.localhost', { ...only, session });
    expect(first.isSessionReused()).toBe(false);
    expect(second.isSessionReused()).toBe(true);
    // And still knows what the certificate is for: it names both.
    second.write('GET / HTTP/1.1\r\nHost: two.example\r\n\r\n');
    expect(String(await once(second, 'data'))).toContain('200 OK');
  });

  test('takes up a new certificate with the next table, while old connections go on', async () => {
    const app = await bench.app({ dynos: [aDyno(dyno.port)] });
    await bench.serve(app);
    const before = await bench.connect('demo.localhost');
    const id = await bench.certificate(['demo.localhost']);
    await bench.serve({ ...app, certificates: { 'demo.localhost': id } });
    const after = await bench.connect('demo.localhost');
    expect(after.getPeerCertificate().fingerprint).not.toBe(before.getPeerCertificate().fingerprint);
    before.write('GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n');
    expect(String(await once(before, 'data'))).toContain('200 OK');
  });

  test('falls back to the default certificate while a file is missing, and looks for it again', async () => {
    const lost = await makeCertificate({ names: ['demo.localhost'], issuer: bench.ca });
    const id = bench.put(lost);
    const certificates = { 'demo.localhost': 'f'.repeat(64) };
    const app = await bench.app({ certificates, dynos: [aDyno(dyno.port)] });
    await bench.serve(app);
    const client = { checkServerIdentity: () => undefined };
    const socket = await bench.connect('demo.localhost', client);
    expect(socket.getPeerCertificate().subjectaltname).toBe('DNS:localhost');
    await bench.serve({ ...app, certificates: { 'demo.localhost': id } });
    expect((await bench.connect('demo.localhost')).authorized).toBe(true);
  });

  test('turns clients away while there is no certificate at all', async () => {
    await bench.daemon.serve();
    await expect(bench.connect('demo.localhost')).rejects.toThrow();
    await expect(bench.connect(null)).rejects.toThrow();
    await bench.serve(await bench.app({ dynos: [aDyno(dyno.port)] }));
    expect(await bench.secureRequest(GET('demo.localhost'), 'demo.localhost')).toContain('hello');
  });

  test('goes on after clients that speak no TLS, leave, or do not trust the CA', async () => {
    await bench.serve(await bench.app({ dynos: [aDyno(dyno.port)] }));
    const plain = connect(bench.httpsPort, '127.0.0.1');
    plain.on('error', () => undefined);
    plain.write('GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n');
    plain.resume();
    await once(plain, 'close');
    const gone = connect(bench.httpsPort, '127.0.0.1');
    gone.write(Buffer.from([0x16, 0x03, 0x01, 0x02]));
    gone.resetAndDestroy();
    const other = await makeCertificate({ subject: 'CN=Other CA', authority: true });
    await expect(bench.connect('demo.localhost', { ca: other.cert })).rejects.toThrow(/verify|issuer/);
    expect(await bench.secureRequest(GET('demo.localhost'), 'demo.localhost')).toContain('hello');
  });

  test('closes a connection on which no handshake comes', async () => {
    await bench.stop();
    bench = await new HttpsBench().start({ timeouts: { clientKeepAliveMs: 50 } });
    const silent = connect(bench.httpsPort, '127.0.0.1');
    silent.on('error', () => undefined);
    silent.resume();
    await once(silent, 'close');
  });

  test('relays a body of any size both ways, and keeps the connection', async () => {
    const size = 3_000_000;
    // Answers once it has the whole body: before that the connection could not be kept.
    const echo = await bench.dyno((socket, it) =>
      socket.on('data', () => {
        if (!it.received.endsWith('END')) return;
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
        socket.write(Buffer.alloc(size, 'x'));
      }),
    );
    await bench.serve(await bench.app({ dynos: [aDyno(echo.port)] }));
    const socket = await bench.connect('demo.localhost');
    let bytes = 0;
    socket.on('data', (chunk: Buffer) => (bytes += chunk.length));
    for (let round = 1; round <= 2; round += 1) {
      const before = bytes;
      socket.write(`POST / HTTP/1.1\r\nHost: demo.localhost\r\nContent-Length: ${size + 3}\r\n\r\n`);
      socket.write(Buffer.alloc(size, 'y'));
      socket.write('END');
      await eventually(() => bytes - before > size, 'the body', 10_000);
    }
    expect((echo.received.match(/y/g) ?? []).length).toBe(2 * size);
    expect(socket.closed).toBe(false);
  });

  test('tunnels an upgraded connection', async () => {
    const peer = await bench.dyno((socket) =>
      onHeads(socket, () => {
        socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly');
        socket.pipe(socket);
      }),
    );
    await bench.serve(await bench.app({ dynos: [aDyno(peer.port)] }));
    const socket = await bench.connect('demo.localhost');
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
    socket.write('GET / HTTP/1.1\r\nHost: demo.localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
    await eventually(() => text.endsWith('early'), 'the first words');
    socket.write('ping');
    await eventually(() => text.endsWith('ping'), 'the echo');
    socket.end();
    expect(await bench.daemon.line()).toMatch(
      / status=101 bytes=\d+ protocol=http1\.1 tls=true tls_version=tls1\.3$/,
    );
  });

  test('lets what is under way end when the router stops, and closes idle connections', async () => {
    let answer = (): void => undefined;
    const slow = await bench.dyno((socket) => onHeads(socket, () => (answer = () => socket.write(HELLO))));
    await bench.serve(await bench.app({ dynos: [aDyno(slow.port)] }));
    const idle = await bench.connect('demo.localhost');
    const halfway = connect(bench.httpsPort, '127.0.0.1');
    halfway.on('error', () => undefined).resume();
    await once(halfway, 'connect');
    const busy = bench.secureRequest(GET('demo.localhost'), 'demo.localhost');
    await eventually(() => slow.received.includes('\r\n\r\n'), 'the request');
    const stopped = bench.router.stop();
    answer();
    expect(await busy).toContain('hello');
    await stopped;
    await eventually(() => idle.closed || idle.readableEnded, 'the idle one closes');
    await eventually(() => halfway.closed, 'the handshake that never came is called off');
  });
});
