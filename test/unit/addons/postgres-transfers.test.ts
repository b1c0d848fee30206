import { dumpFrom, RestoreJudge } from '../../../src/addons/postgres-transfers';

const ENDPOINT = { host: 'h', port: 5432, database: 'd', user: 'u', password: "p'ä ss#=" };
const OPTIONS = { transferId: 't', compressed: true };

function judge(exitCode: number, ...lines: string[]): number | string {
  const judging = new RestoreJudge();
  for (const line of lines) judging.read(line);
  return judging.outcome(exitCode);
}
const entry = (type: string): string => `pg_restore: from TOC entry 3; 3079 16385 ${type} thing (no owner)`;
const refused = 'pg_restore: error: could not execute query: ERROR:  must be owner of thing';
const IGNORED = 'pg_restore: warning: errors ignored on restore: 2';

describe('what becomes of a restore', () => {
  test('is what pg_restore prints and ends with', () => {
    expect(judge(0, 'pg_restore: creating TABLE "public.things"')).toBe(0);
    expect(judge(1, entry('EXTENSION'), refused, entry('COMMENT - EXTENSION'), refused, IGNORED)).toBe(2);
    expect(judge(1, entry('DEFAULT ACL'), refused, IGNORED)).toBe(1);
  });

  test('is a failure where something is missing, whatever else was ignored', () => {
    for (const type of [
      'TABLE',
      'TABLE DATA',
      'INDEX',
      'CONSTRAINT',
      'FUNCTION',
      'SEQUENCE SET',
      'TABLE ACL',
    ]) {
      expect(judge(1, entry('COMMENT'), refused, entry(type), refused, IGNORED)).toMatch(/must be owner/);
    }
    const copy =
      'pg_restore: error: COPY failed for table "things": ERROR:  could not extend file: No space left on device';
    expect(judge(1, entry('EXTENSION'), copy, IGNORED)).toMatch(/No space left/);
    expect(judge(1, 'pg_restore: error: could not read from input file: end of file')).toMatch(/end of file/);
    // Killed before it had said anything, or in the middle.
    expect(judge(137)).toBe('pg_restore ended with status 137');
    expect(judge(1, entry('EXTENSION'), refused)).toBe('pg_restore ended with status 1');
  });
});

describe('a database elsewhere', () => {
  test('gets its password over standard input and nowhere else', () => {
    const command = dumpFrom(ENDPOINT, OPTIONS);
    expect(command.head).toBe("[transfer]\nhost=h\nport=5432\ndbname=d\nuser=u\npassword=p'ä ss#=\n\n");
    expect(JSON.stringify({ ...command, head: '' })).not.toContain(ENDPOINT.password);
  });

  test.each(['a\nhost=evil', ' leading', 'x'.repeat(2000)])('can not have the password %j', (password) => {
    expect(() => dumpFrom({ ...ENDPOINT, password }, OPTIONS)).toThrow(RangeError);
  });
});
