'use strict';
// Compiles src/ to dist/ and copies what the compiler leaves behind (SQL migrations, schema, page templates).
const { execFileSync } = require('node:child_process');
const { cpSync, rmSync, readdirSync } = require('node:fs');
const path = require('node:path');

const root = path.join(__dirname, '..');
const COPIED = new Set(['.sql', '.html', '.css', '.sh', '.json', '.cjs']);

rmSync(path.join(root, 'dist'), { recursive: true, force: true });
execFileSync(
  process.execPath,
  [path.join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', path.join(root, 'tsconfig.build.json')],
  { stdio: 'inherit', cwd: root },
);

for (const entry of readdirSync(path.join(root, 'src'), { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || !COPIED.has(path.extname(entry.name))) continue;
  const from = path.join(entry.parentPath ?? entry.path, entry.name);
  cpSync(from, path.join(root, 'dist', path.relative(path.join(root, 'src'), from)));
}
