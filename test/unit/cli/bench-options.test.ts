import { readOptions, readScale, type BenchArguments } from '../../../src/cli/bench/options';

const URL_OF_APP = 'http://shop.localhost:5780/';
const given = (more: Partial<BenchArguments> = {}): BenchArguments => ({
  connections: '32',
  duration: '10',
  ...more,
});
const read = (more: Partial<BenchArguments> = {}) => readOptions(URL_OF_APP, given(more));

describe('the options of dynodock bench', () => {
  test('are read as they are given', () => {
    const options = readOptions(
      'http://shop.localhost:5780/a?b=c',
      given({
        connections: '8',
        duration: '3',
        method: 'put',
        header: ['X-One: 1', 'x-two:2: 3'],
        body: 'hi',
      }),
    );
    expect(options).toEqual({
      url: new URL('http://shop.localhost:5780/a?b=c'),
      connections: 8,
      durationSeconds: 3,
      method: 'PUT',
      headers: [
        ['X-One', '1'],
        ['x-two', '2: 3'],
      ],
      body: 'hi',
      scale: [],
      anyHost: false,
      json: false,
    });
  });

  test('make it a GET, and a POST where there is a body', () => {
    expect(read().method).toBe('GET');
    expect(read({ body: '' }).method).toBe('POST');
    expect(() => read({ body: 'hi', method: 'GET' })).toThrow('A GET request has no body');
  });

  test.each(['shop', 'shop.localhost:5780', 'https://shop.localhost/', 'ftp://shop.localhost/'])(
    'do not take %s for a URL',
    (url) => {
      expect(() => readOptions(url, given())).toThrow('it has to begin with http://');
    },
  );

  test('refuse credentials in the URL, which would not be sent', () => {
    expect(() => readOptions('http://me:secret@shop.localhost/', given())).toThrow(
      'Name and password in the URL are not sent',
    );
  });

  test.each(['0', '1001', '-1', '1.5', 'many', ''])('refuse %s connections', (connections) => {
    expect(() => read({ connections })).toThrow(
      `--connections ${connections} is not a whole number from 1 to 1000.`,
    );
  });

  test('bound the duration', () => {
    expect(read({ duration: '600' }).durationSeconds).toBe(600);
    expect(() => read({ duration: '601' })).toThrow('--duration 601 is not a whole number from 1 to 600.');
  });

  test.each(['nothing', ': value', 'na me: value', 'name: line\nbreak'])('refuse the header %j', (header) => {
    expect(() => read({ header: [header] })).toThrow("is not of the form 'Name: value'.");
  });

  test.each(['Host', 'X-Request-Id', 'Content-Length', 'Transfer-Encoding', 'Upgrade', 'Expect'])(
    'leave %s to the bench',
    (name) => {
      expect(() => read({ header: [`${name}: x`] })).toThrow(`--header ${name}: the bench sets it itself.`);
    },
  );

  test('do not scale what is no app', () => {
    expect(() => read({ anyHost: true, scale: '1..2' })).toThrow('it does not go with --any-host');
  });
});

describe('--scale', () => {
  test.each([
    ['1..4', [1, 2, 3, 4]],
    ['2..2', [2]],
    ['1,2,8', [1, 2, 8]],
    ['4,1', [4, 1]],
    ['3', [3]],
  ])('%s', (text, steps) => {
    expect(readScale(text)).toEqual(steps);
  });

  test.each([
    ['', 'is neither a range nor a list'],
    ['1..', 'is neither a range nor a list'],
    ['1,,2', 'is neither a range nor a list'],
    ['one', 'is neither a range nor a list'],
    ['4..1', '4 is more than 1'],
    ['0..2', 'an app can have 1 to 100 web dynos'],
    ['99..101', 'an app can have 1 to 100 web dynos'],
    ['1..21', 'makes 21 runs; 20 are the most'],
  ])('refuses %j', (text, message) => {
    expect(() => readScale(text)).toThrow(message);
  });
});
