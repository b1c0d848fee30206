'use strict';
// resolve-version.js RANGE: reads versions from standard input (anything between whitespace, commas and quotes) and
// prints the newest one that satisfies RANGE. Status 2 = RANGE is not a range, 3 = nothing satisfies it.
const path = require('node:path');
const semver = require(
  path.join(path.dirname(process.execPath), '../lib/node_modules/npm/node_modules/semver'),
);

const wanted = (process.argv[2] ?? '').trim();
const range = ['', 'latest', 'current', 'node', 'stable'].includes(wanted) ? '*' : wanted;
if (semver.validRange(range, { loose: true }) === null) process.exit(2);

const versions = require('node:fs')
  .readFileSync(0, 'utf8')
  .split(/[\s,"'[\]]+/)
  .filter((text) => semver.valid(text) !== null)
  .map((text) => semver.clean(text));
const best = semver.maxSatisfying(versions, range, { loose: true });
if (best === null) process.exit(3);
console.log(best);
