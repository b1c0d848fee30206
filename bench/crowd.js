'use strict';
// Whether pushes to many apps at once all finish, and how evenly: npm run bench:crowd [-- --apps 10] (after
// npm run build; needs an engine with the stack images, which `bin/dynodock images` builds).
//
// Starts an installation of its own, makes so many apps, pushes to one alone for comparison and then to all others in
// the same moment. A push is starved if it takes longer than all of them would one after the other. Removes everything
// again.
const { cpSync } = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { Installation, ROOT } = require('./support/installation');
const { describeLoad, median, onEndSignal } = require('./support/measure');

const { values: options } = parseArgs({ options: { apps: { type: 'string', default: '10' } } });
const APPS = Number(options.apps);
if (!Number.isInteger(APPS) || APPS < 2) throw new Error('--apps: not a number of apps');

class Crowd extends Installation {
  /** Milliseconds from the push's begin to its end, which is after the release. */
  async push(name, index) {
    const repository = path.join(this.directory, `repository-${name}`);
    if (index !== undefined) {
      await this.git(repository, 'commit', '--quiet', '--allow-empty', '--message', `Push ${index}`);
    }
    const startedAt = performance.now();
    await this.git(
      repository,
      'push',
      `https://localhost:${this.apiPort}/${name}.git`,
      'HEAD:refs/heads/main',
    );
    return performance.now() - startedAt;
  }

  async makeApp(name) {
    const repository = path.join(this.directory, `repository-${name}`);
    await this.api('POST', '/apps', { name });
    cpSync(path.join(ROOT, 'examples', 'hello-node'), repository, { recursive: true });
    await this.git(repository, 'init', '--quiet', '--initial-branch=main');
    await this.git(repository, 'add', '--all');
    await this.git(repository, 'commit', '--quiet', '--message', 'First');
  }
}

async function main() {
  const loadBefore = os.loadavg();
  const bench = new Crowd();
  onEndSignal(() => bench.remove());
  try {
    await bench.start();
    const names = Array.from({ length: APPS }, (_, index) => `bench-${index + 1}`);
    for (const name of ['alone', ...names]) await bench.makeApp(name);
    await bench.push('alone');
    const alone = median([
      await bench.push('alone', 1),
      await bench.push('alone', 2),
      await bench.push('alone', 3),
    ]);
    const startedAt = performance.now();
    const durations = (await Promise.all(names.map((name) => bench.push(name)))).sort((a, b) => a - b);
    const total = performance.now() - startedAt;
    console.log(`Milliseconds of ${APPS} first pushes of examples/hello-node to ${APPS} apps at once\n`);
    durations.forEach((duration, index) =>
      console.log(
        `${`${index + 1}.`.padStart(4)} ${String(Math.round(duration)).padStart(7)} ${'#'.repeat(Math.round((duration / total) * 50))}`,
      ),
    );
    const longest = durations.at(-1);
    const fair = longest <= alone * APPS * 1.5;
    console.log(`
All finished; p50 ${Math.round(median(durations))} ms, the last one ${(longest / durations[0]).toFixed(1)} times the first
One after the other they would take ${Math.round(alone * APPS)} ms (a push alone: ${Math.round(alone)} ms); at once ${Math.round(total)} ms, ${(total / (alone * APPS)).toFixed(2)} times that
The aim is that none waits longer than 1.5 times that: ${fair ? 'met' : 'MISSED'}
${describeLoad(loadBefore)}`);
    if (!fair) process.exitCode = 1;
  } finally {
    await bench.remove();
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
