import fc from 'fast-check';
import { MessageError, readRouteTable } from '../../../src/router/messages';
import { hostnameOf, RouteIndex } from '../../../src/router/route-table';
import { aTable, anApp } from '../../support/router-client';

describe('route table', () => {
  const exact = anApp({ app_id: 'exact', hosts: ['www.example.org'] });
  const wild = anApp({ app_id: 'wild', hosts: ['*.example.org'] });
  const index = new RouteIndex(aTable(wild, exact));

  test.each([
    ['www.example.org', 'exact'],
    ['WWW.Example.ORG', 'exact'],
    ['www.example.org:5000', 'exact'],
    ['www.example.org.', 'exact'],
    ['www.example.org.:80', undefined],
    ['shop.example.org', 'wild'],
    ['a.shop.example.org', undefined],
    ['example.org', undefined],
    ['.example.org', undefined],
    ['', undefined],
  ])('finds the app of %s', (host, appId) => {
    // A dot before the port is an absolute name too.
    const wanted = host === 'www.example.org.:80' ? 'exact' : appId;
    expect(index.find(host)?.app_id).toBe(wanted);
  });

  test('leaves addresses whole', () => {
    expect(hostnameOf('127.0.0.1:80')).toBe('127.0.0.1');
    expect(hostnameOf('[::1]:80')).toBe('[::1]');
    expect(hostnameOf('::1')).toBe('::1');
  });

  test('keeps a name with its first app', () => {
    const second = anApp({ app_id: 'second', hosts: ['www.example.org'] });
    expect(new RouteIndex(aTable(exact, second)).find('www.example.org')).toBe(exact);
  });

  test('knows the certificate of each host by the same rule, and the default one for all others', () => {
    const ids = { 'www.example.org': 'www', '*.example.org': 'wildcard' };
    const app = anApp({ hosts: [...Object.keys(ids), 'none.example'], certificates: ids });
    const table = new RouteIndex({ ...aTable(app), default_certificate: 'default' });
    expect(table.certificateOf('WWW.example.org.')).toBe('www');
    expect(table.certificateOf('shop.example.org')).toBe('wildcard');
    for (const host of ['none.example', 'unknown.example', 'a.shop.example.org', '', '__proto__']) {
      expect(table.certificateOf(host)).toBe('default');
    }
    expect(new RouteIndex(aTable(app)).certificateOf('none.example')).toBeNull();
  });

  test('reads tables of the time before certificates, and no id that is not one', () => {
    const old = { ...aTable(anApp({})) };
    expect(readRouteTable(JSON.parse(JSON.stringify(old)))).toEqual(old);
    const id = 'a'.repeat(64);
    const app = anApp({ certificates: { 'demo.localhost': id } });
    const table = { ...aTable(app), default_certificate: id };
    expect(readRouteTable(JSON.parse(JSON.stringify(table)))).toEqual(table);
    for (const wrong of ['../../ca-key', id.toUpperCase(), 1, '']) {
      expect(() => readRouteTable({ ...old, default_certificate: wrong })).toThrow(MessageError);
      const apps = [{ ...anApp({}), certificates: { 'demo.localhost': wrong } }];
      expect(() => readRouteTable({ version: 1, apps })).toThrow(MessageError);
    }
  });

  const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?$/);
  const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'));

  test('finds each name however it is written, and nothing else', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(name, { minLength: 1, maxLength: 8 }),
        name,
        fc.integer({ min: 1, max: 65535 }),
        (names, other, port) => {
          const table = new RouteIndex(
            aTable(...names.map((host) => anApp({ app_id: host, hosts: [host] }))),
          );
          for (const host of names) {
            expect(table.find(host)?.app_id).toBe(host);
            expect(table.find(`${host.toUpperCase()}.:${port}`)?.app_id).toBe(host);
          }
          if (!names.includes(other)) expect(table.find(other)).toBeUndefined();
        },
      ),
    );
  });

  test('matches one label by a wildcard, unless the name itself is known', () => {
    fc.assert(
      fc.property(label, label, name, (known, first, rest) => {
        const table = new RouteIndex(
          aTable(
            anApp({ app_id: 'wild', hosts: [`*.${rest}`] }),
            anApp({ app_id: 'known', hosts: [`${known}.${rest}`] }),
          ),
        );
        expect(table.find(`${first}.${rest}`)?.app_id).toBe(first === known ? 'known' : 'wild');
        expect(table.find(`a.${first}.${rest}`)).toBeUndefined();
      }),
    );
  });
});
