'use strict';
// Adds up Jest's JSON results in a folder and prints the plain closing line; fails if a test or a whole file did, or if
// a layer ran no test at all.
const { readdirSync, readFileSync } = require('node:fs');
const path = require('node:path');

const LAYERS = ['unit', 'contract', 'integration', 'e2e'];
const folder = process.argv[2];
const present = readdirSync(folder);
const sum = { passed: 0, failed: 0, skipped: 0 };

for (const layer of LAYERS) {
  const file = `${layer}.json`;
  if (!present.includes(file)) {
    console.error(`${layer}: no result`);
    sum.failed += 1;
    continue;
  }
  const result = JSON.parse(readFileSync(path.join(folder, file), 'utf8'));
  sum.passed += result.numPassedTests;
  // A file that does not load counts as one failure: its tests are not known.
  sum.failed += result.numFailedTests + result.numRuntimeErrorTestSuites;
  sum.skipped += result.numPendingTests + result.numTodoTests;
  if (result.numTotalTests === 0) {
    console.error(`${layer}: no test ran`);
    sum.failed += 1;
  }
}

console.log(`${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`);
process.exitCode = sum.failed > 0 ? 1 : 0;
