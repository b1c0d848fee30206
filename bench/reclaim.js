'use strict';
// Whether the disk stays bounded under many deploys of one app: npm run bench:reclaim [-- --deploys 200] (after
// npm run build; needs an engine with the stack images, which `bin/dynodock images` builds).
//
// Starts an installation of its own, pushes an app again and again whose slug differs each time by BLOB_BYTES that
// can't be compressed, and shows what images and archives take, as counted by the engine and the file system, against
// what they would take if all were kept. Exits with status 1 if they outgrow what the settings allow. Removes
// everything again.
const { cpSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { Installation, ROOT, runFile } = require('./support/installation');
const { describeLoad, median, onEndSignal } = require('./support/measure');

const { values: options } = parseArgs({ options: { deploys: { type: 'string', default: '40' } } });
const DEPLOYS = Number(options.deploys);
if (!Number.isInteger(DEPLOYS) || DEPLOYS < 1) throw new Error('--deploys: not a number of deploys');

const APP = 'bench';
const ROWS = 20;
const BLOB_BYTES = 2 * 1024 * 1024;
const KEPT_RELEASES = 5;
const KEPT_SLUGS = 10;
/** An image is left alone for so long after its build, and a run comes so long after a deploy (platform/reclaim). */
const YOUNG_MS = 30_000 + 2_000;
const MB = 1_000_000;
const CURVE_COLUMNS = 40;

class Deploys extends Installation {
  constructor() {
    super({ DYNODOCK_KEPT_RELEASES: String(KEPT_RELEASES), DYNODOCK_KEPT_SLUGS: String(KEPT_SLUGS) });
  }

  async start() {
    await super.start();
    this.repository = path.join(this.directory, 'repository');
    await this.api('POST', '/apps', { name: APP });
    cpSync(path.join(ROOT, 'examples', 'hello-node'), this.repository, { recursive: true });
    const manifest = path.join(this.repository, 'package.json');
    const blob = `require('fs').writeFileSync('blob', require('crypto').randomBytes(${BLOB_BYTES}))`;
    const scripts = { build: `node -e "${blob}"` };
    writeFileSync(manifest, JSON.stringify({ ...JSON.parse(readFileSync(manifest, 'utf8')), scripts }));
    await this.git(this.repository, 'init', '--quiet', '--initial-branch=main');
    await this.git(this.repository, 'add', '--all');
  }

  async deploy(number) {
    await this.git(this.repository, 'commit', '--quiet', '--allow-empty', '--message', `Deploy ${number}`);
    const remote = `https://localhost:${this.apiPort}/${APP}.git`;
    const startedAt = performance.now();
    await this.git(this.repository, 'push', remote, 'HEAD:refs/heads/main');
    return performance.now() - startedAt;
  }

  /** By the engine's and the file system's own count. */
  async measure() {
    const { disk } = await this.api('POST', '/dynodock/reclaim', { dry_run: true });
    const filter = `label=dynodock.installation=${this.installationId}`;
    const { stdout } = await runFile('docker', ['images', '--quiet', '--filter', filter]);
    const folder = path.join(this.data, 'slugs');
    const names = existsSync(folder) ? readdirSync(folder, { recursive: true }) : [];
    const archives = names.filter((name) => name.endsWith('.tgz'));
    return {
      images: new Set(stdout.split('\n').filter((line) => line !== '')).size,
      archives: archives.length,
      archiveBytes: archives.reduce((sum, name) => sum + statSync(path.join(folder, name)).size, 0),
      imageBytes: disk.before.images_bytes,
    };
  }
}

async function main() {
  const loadBefore = os.loadavg();
  const bench = new Deploys();
  onEndSignal(() => bench.remove());
  try {
    await bench.start();
    const base = (await bench.measure()).imageBytes;
    console.log(`${DEPLOYS} deploys of an app whose slug has ${(BLOB_BYTES / MB).toFixed(1)} MB of its own.`);
    console.log(
      `Kept: the images of ${KEPT_RELEASES} releases and the archives of ${KEPT_SLUGS} slugs besides the current one's.\n`,
    );
    row('deploys', 'images', 'MB', 'archives', 'MB', 'all kept, MB');
    const durations = [];
    let most = { images: 0, archives: 0 };
    const every = Math.max(1, Math.round(DEPLOYS / ROWS));
    let perDeploy = 0;
    for (let number = 1; number <= DEPLOYS; number += 1) {
      durations.push(await bench.deploy(number));
      if (number === 1) {
        const first = await bench.measure();
        perDeploy = first.imageBytes - base + first.archiveBytes;
      }
      if (number % every !== 0) continue;
      const now = await bench.measure();
      most = { images: Math.max(most.images, now.images), archives: Math.max(most.archives, now.archives) };
      print(number, now, base, perDeploy);
    }
    // What was too young a moment ago no longer is.
    await new Promise((resolve) => setTimeout(resolve, YOUNG_MS));
    await bench.api('POST', '/dynodock/reclaim', {});
    const end = await bench.measure();
    print('at rest', end, base, perDeploy, DEPLOYS);

    const push = median(durations);
    const young = Math.ceil(YOUNG_MS / Math.min(...durations)) + 1;
    const inTime = most.images <= KEPT_RELEASES + 1 + young && most.archives <= KEPT_SLUGS + 1 + young;
    const atRest = end.images <= KEPT_RELEASES + 1 && end.archives <= KEPT_SLUGS + 1;
    console.log(`
A push takes ${Math.round(push)} ms (p50); what is younger than 30 s is left alone: at most ${young} deploys
While deploying at most ${most.images} images and ${most.archives} archives: ${inTime ? 'bounded' : 'NOT BOUNDED'}
At rest ${end.images} images and ${end.archives} archives: ${atRest ? 'as set' : 'MORE THAN SET'}
${describeLoad(loadBefore)}`);
    if (!inTime || !atRest) process.exitCode = 1;
  } finally {
    await bench.remove();
  }
}

function print(label, now, base, perDeploy, deploys = label) {
  // The engine does not count for two at a time.
  const imageBytes = now.imageBytes === null ? null : now.imageBytes - base;
  row(
    label,
    now.images,
    megabytes(imageBytes),
    now.archives,
    megabytes(now.archiveBytes),
    megabytes(perDeploy * deploys),
    bar(imageBytes, now.archiveBytes, perDeploy, deploys),
  );
}

/** As a curve: `#` is what images and archives take, `.` what keeping all would take. */
function bar(imageBytes, archiveBytes, perDeploy, deploys) {
  const full = perDeploy * DEPLOYS;
  const column = (bytes) => Math.min(CURVE_COLUMNS, Math.round((bytes / full) * CURVE_COLUMNS));
  const kept = (imageBytes ?? 0) + archiveBytes;
  const taken = '#'.repeat(Math.max(0, column(kept)));
  return taken.padEnd(column(perDeploy * deploys), '.');
}

function row(...cells) {
  const shown = cells.map((cell, index) =>
    index === 6 ? cell : String(cell).padStart(index === 5 ? 14 : 9),
  );
  console.log(shown.join(' '));
}

function megabytes(bytes) {
  return bytes === null ? '?' : (bytes / MB).toFixed(1);
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
