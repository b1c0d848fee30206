'use strict';
// How long a backup and a restore take: npm run bench:backups [-- --mb 1024] (after npm run build; needs an engine with
// the image of the Postgres add-on, which `bin/dynodock images --addons` builds).
//
// Starts an installation of its own, fills a database, and takes, on the same server: pg_dump into a file and
// pg_restore into an empty database, by hand inside the container, before and after; a capture and a restore by the API, with the
// progress that the CLI would show. Counts the rows that came back. Removes everything again.
const os = require('node:os');
const { setTimeout: delay } = require('node:timers/promises');
const { parseArgs } = require('node:util');
const { Installation, runFile } = require('./support/installation');
const { describeLoad, onEndSignal, until } = require('./support/measure');

const { values: options } = parseArgs({ options: { mb: { type: 'string', default: '1024' } } });
const MB = Number(options.mb);
if (!Number.isInteger(MB) || MB < 1) throw new Error('--mb: not a number of megabytes');

const APP = 'bench';
const ADDON = 'bench-db';
/** What a row of the table takes on the disk, with its index. */
const ROW_BYTES = 195;
const PROGRESS_MS = 5_000;
const PATIENCE_MS = 30 * 60_000;

class Backups extends Installation {
  async start() {
    await super.start();
    await this.api('POST', '/apps', { name: APP });
    await this.api('POST', `/apps/${APP}/addons`, { plan: 'heroku-postgresql:standard-0', name: ADDON });
    await until('the add-on', 120_000, async () => {
      const { state } = await this.api('GET', `/addons/${ADDON}`);
      if (state !== 'provisioned') await delay(200);
      return state === 'provisioned';
    });
    const filter = `label=dynodock.installation=${this.installationId}`;
    const { stdout } = await runFile('docker', [
      'ps',
      '--quiet',
      '--filter',
      filter,
      '--filter',
      'label=dynodock.role=add-on',
    ]);
    this.container = stdout.trim();
    this.name = (
      await this.sql('postgres', "SELECT datname FROM pg_database WHERE datname LIKE 'd%'")
    ).trim();
  }

  async inside(...argv) {
    const { stdout } = await runFile('docker', ['exec', '--user', 'postgres', this.container, ...argv], {
      maxBuffer: 64 * 1024 ** 2,
    });
    return stdout;
  }

  sql(database, statement) {
    return this.inside('psql', '-X', '-A', '-t', '-q', '-h', '/tmp', '-d', database, '-c', statement);
  }

  rows(database) {
    return this.sql(database, 'SELECT count(*), sum(hashtext(name)) FROM filling');
  }

  /** Seconds that it takes by hand. */
  async plain() {
    const file = '/tmp/plain.dump';
    const dumped = await seconds(() =>
      this.inside(
        'pg_dump',
        '-h',
        '/tmp',
        '--format=custom',
        '--no-owner',
        '--no-acl',
        `--file=${file}`,
        this.name,
      ),
    );
    await this.inside('createdb', '-h', '/tmp', 'plain');
    const restored = await seconds(() =>
      this.inside('pg_restore', '-h', '/tmp', '--no-owner', '--no-acl', '--dbname=plain', file),
    );
    if ((await this.rows('plain')) !== (await this.rows(this.name))) throw new Error('rows differ');
    await this.inside('dropdb', '-h', '/tmp', 'plain');
    await this.inside('rm', file);
    return { dumped, restored };
  }

  /** The same by dynodock. */
  async ours() {
    const before = await this.rows(this.name);
    const dumped = await this.transfer('Backup', 'backups');
    const { to_url: url } = await this.api('GET', `/client/v11/apps/${APP}/transfers/${dumped.uuid}`);
    await this.sql(this.name, 'DELETE FROM filling WHERE id % 2 = 0');
    const restored = await this.transfer('Restore', 'restores', { backup_url: url });
    if ((await this.rows(this.name)) !== before) throw new Error('rows were lost');
    return { dumped: dumped.took, restored: restored.took };
  }

  async transfer(what, kind, body) {
    const began = performance.now();
    const { uuid } = await this.api('POST', `/client/v11/databases/${ADDON}/${kind}`, body);
    let shown = began;
    let transfer;
    await until('the transfer', PATIENCE_MS, async () => {
      transfer = await this.api('GET', `/client/v11/apps/${APP}/transfers/${uuid}?verbose=true`);
      if (transfer.finished_at !== null) return true;
      if (performance.now() - shown > PROGRESS_MS) {
        shown = performance.now();
        const last = transfer.logs.at(-1)?.message ?? 'pending';
        console.log(
          `  ${what}: ${inMb(transfer.processed_bytes)} MB after ${inSeconds(shown - began)}; ${last}`,
        );
      }
      await delay(50);
      return false;
    });
    if (!transfer.succeeded) throw new Error(transfer.logs.map(({ message }) => message).join('\n'));
    return { uuid, took: (performance.now() - began) / 1000 };
  }
}

async function seconds(work) {
  const began = performance.now();
  await work();
  return (performance.now() - began) / 1000;
}
const inMb = (bytes) => (bytes / 1024 ** 2).toFixed(1);
const inSeconds = (ms) => `${(ms / 1000).toFixed(1)} s`;

async function main() {
  const loadBefore = os.loadavg();
  const bench = new Backups();
  onEndSignal(() => bench.remove());
  try {
    await bench.start();
    const count = Math.round((MB * 1024 ** 2) / ROW_BYTES);
    await bench.sql(
      bench.name,
      `CREATE TABLE filling AS SELECT id, md5(id::text) || md5((-id)::text) || repeat(md5((id / 7)::text), 2) AS name
        FROM generate_series(1, ${count}) AS id; CREATE UNIQUE INDEX ON filling (id)`,
    );
    await bench.sql(bench.name, 'VACUUM ANALYZE filling');
    const size = Number(await bench.sql(bench.name, 'SELECT pg_database_size(current_database())'));
    console.log(`A database of ${inMb(size)} MB, ${count} rows`);
    // One before and one after, since a machine is not always as busy.
    const first = await bench.plain();
    const ours = await bench.ours();
    const second = await bench.plain();
    const mean = (name) => (first[name] + second[name]) / 2;
    for (const [what, name] of [
      ['Backup ', 'dumped'],
      ['Restore', 'restored'],
    ]) {
      const ratio = (ours[name] / mean(name)).toFixed(2);
      const byHand = `${first[name].toFixed(1)} s before and ${second[name].toFixed(1)} s after`;
      console.log(`${what}  ${ours[name].toFixed(1)} s, by hand ${byHand}; ratio ${ratio}`);
    }
    console.log('All rows came back.');
    console.log(describeLoad(loadBefore));
  } finally {
    await bench.remove();
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
