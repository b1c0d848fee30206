'use strict';
// How long a slug and its image take to make: npm run bench:slug [-- --megabytes 60] (after npm run build; needs an
// engine with the stack images, which `bin/dynodock images` builds).
//
// Starts an installation of its own, pushes a tree of so many megabytes (files of this project's node_modules: much
// text, some binaries) that needs no compile, and says what the time between the compile and the release went into. In
// the same run the least that the same work takes by hand is measured: tar, gzip and `docker load`. Removes everything
// again.
const { copyFileSync, mkdirSync, readdirSync, statSync, writeFileSync } = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { Installation, MAIN, ROOT, runFile } = require('./support/installation');
const { describeLoad, median, onEndSignal } = require('./support/measure');

const { values: options } = parseArgs({ options: { megabytes: { type: 'string', default: '60' } } });
const MEGABYTES = Number(options.megabytes);
if (!Number.isInteger(MEGABYTES) || MEGABYTES < 1) throw new Error('--megabytes: not a number');

const PUSHES = 5;
const APP = 'bench';
const MB = 1024 * 1024;
/** Of slug and image together, for 60 MB. */
const AIM_MS = 2000;

class Slugs extends Installation {
  async start() {
    await super.start();
    this.repository = path.join(this.directory, 'repository');
    await this.api('POST', '/apps', { name: APP });
    this.files = copyTree(path.join(ROOT, 'node_modules'), path.join(this.repository, 'lib'), MEGABYTES * MB);
    writeFileSync(path.join(this.repository, 'Procfile'), 'worker: sleep 1000\n');
    await this.git(this.repository, 'init', '--quiet', '--initial-branch=main');
  }

  /** Milliseconds of each phase of one push. */
  async push(number) {
    writeFileSync(path.join(this.repository, 'marker'), `push ${number}\n`);
    await this.git(this.repository, 'add', '--all', '--force');
    await this.git(this.repository, 'commit', '--quiet', '--message', `Push ${number}`);
    const logged = this.output.length;
    const startedAt = performance.now();
    const remote = `https://localhost:${this.apiPort}/${APP}.git`;
    await this.git(this.repository, 'push', remote, 'HEAD:refs/heads/main');
    const total = performance.now() - startedAt;
    const line = this.output
      .slice(logged)
      .split('\n')
      .find((text) => text.includes('"build succeeded"'));
    if (line === undefined) throw new Error(`no timings of a build:\n${this.output.slice(logged)}`);
    const { sourceMs, compileMs, slugMs, imageMs } = JSON.parse(line);
    return {
      source: sourceMs,
      compile: compileMs,
      slug: slugMs,
      image: imageMs,
      'slug + image': slugMs + imageMs,
      push: total,
    };
  }

  /** The same by hand, one after the other, from a container of the build image to an image of the engine. */
  async byHand(number) {
    const { stdout } = await runFile(process.execPath, [MAIN, 'images'], { env: this.environment });
    const run = stdout.split('\n').find((line) => line.includes('heroku-24-run'));
    if (run === undefined) throw new Error('no run image');
    const folder = path.join(this.directory, `by-hand-${number}`);
    mkdirSync(folder);
    const startedAt = performance.now();
    await runFile('tar', [
      '--create',
      `--file=${folder}/layer.tar`,
      '--sort=name',
      '--exclude=.git',
      `--directory=${this.repository}`,
      '.',
    ]);
    await runFile('gzip', ['--fast', '--keep', `${folder}/layer.tar`]);
    const slug = performance.now() - startedAt;
    writeFileSync(
      path.join(folder, 'Dockerfile'),
      `FROM ${run}\nLABEL dynodock.installation=${this.installationId}\nADD layer.tar /app\n`,
    );
    await runFile('docker', ['build', '--quiet', '--no-cache', folder], {
      env: { ...process.env, DOCKER_BUILDKIT: '0' },
    });
    return { slug, image: performance.now() - startedAt - slug };
  }
}

/** Copies files until there are so many bytes; answers their number. */
function copyTree(from, to, maxBytes) {
  let bytes = 0;
  let count = 0;
  const copy = (folder) => {
    for (const entry of readdirSync(path.join(from, folder), { withFileTypes: true }).sort((a, b) =>
      a.name < b.name ? -1 : 1,
    )) {
      if (bytes >= maxBytes) return;
      const name = path.join(folder, entry.name);
      if (entry.isDirectory()) copy(name);
      if (!entry.isFile()) continue;
      const { size } = statSync(path.join(from, name));
      if (bytes + size > maxBytes * 1.02) continue;
      mkdirSync(path.dirname(path.join(to, name)), { recursive: true });
      copyFileSync(path.join(from, name), path.join(to, name));
      bytes += size;
      count += 1;
    }
  };
  copy('');
  return { bytes, count };
}

async function main() {
  const loadBefore = os.loadavg();
  const bench = new Slugs();
  onEndSignal(() => bench.remove());
  try {
    await bench.start();
    const pushes = [];
    const byHand = [];
    // The first one makes the app's repository, cache and first release.
    for (let number = 0; number <= PUSHES; number += 1) {
      const phases = await bench.push(number);
      if (number === 0) continue;
      pushes.push(phases);
      byHand.push(await bench.byHand(number));
    }
    report(bench, pushes, byHand, loadBefore);
  } finally {
    await bench.remove();
  }
}

function report(bench, pushes, byHand, loadBefore) {
  const row = (name, values) =>
    console.log(
      `${name.padEnd(14)}${values.map((value) => String(typeof value === 'number' ? Math.round(value) : value).padStart(7)).join('')}`,
    );
  const rows = (name, values) => row(name, [...values, median(values)]);
  console.log(
    `Milliseconds of ${PUSHES} pushes of ${bench.files.count} files with ${(bench.files.bytes / MB).toFixed(0)} MB, after one to warm up\n`,
  );
  row('', [...pushes.map((_, index) => `#${index + 1}`), 'p50']);
  for (const phase of Object.keys(pushes[0]))
    rows(
      phase,
      pushes.map((push) => push[phase]),
    );
  console.log('\nBy hand, in the same run\n');
  rows(
    'tar, gzip',
    byHand.map(({ slug }) => slug),
  );
  rows(
    'docker build',
    byHand.map(({ image }) => image),
  );
  const ours = median(pushes.map((push) => push['slug + image']));
  const theirs = median(byHand.map(({ slug, image }) => slug + image));
  console.log(`
Slug and image: ${Math.round(ours)} ms, ${MEGABYTES === 60 ? `the aim is ${AIM_MS} ms: ${ours <= AIM_MS ? 'met' : 'MISSED'}` : `${((ours / MEGABYTES) * 60).toFixed(0)} ms for 60 MB`}
  ${(ours / theirs).toFixed(2)} times what tar, gzip and docker build take by hand
${describeLoad(loadBefore)}`);
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
