'use strict';
// The layering of ARCHITECTURE.md, enforced: each folder of src/ may import itself and what is listed here.
const MAY_IMPORT = {
  domain: [],
  lib: [],
  store: ['domain', 'lib'],
  engine: ['domain', 'lib'],
  logplex: ['domain', 'lib', 'store'],
  build: ['domain', 'lib', 'engine'],
  addons: ['domain', 'lib', 'engine'],
  'dyno-manager': ['domain', 'lib', 'store', 'engine', 'logplex', 'addons'],
  platform: ['domain', 'lib', 'store', 'engine/engine\\.ts$', 'build', 'addons', 'logplex', 'dyno-manager'],
  api: ['domain', 'lib', 'platform'],
  git: ['domain', 'lib', 'platform'],
  rendezvous: ['domain', 'lib', 'platform'],
  dashboard: ['domain', 'lib', 'platform'],
  router: ['domain', 'lib'],
  cli: ['domain', 'lib'],
};
const ONLY_IMPORTER = {
  'better-sqlite3': '^src/store/database\\.ts$',
  dockerode: '^src/engine/docker-engine\\.ts$',
  undici: '^src/(router/llhttp|cli/bench/load)\\.ts$',
};
const layers = Object.entries(MAY_IMPORT).map(([folder, allowed]) => ({
  name: `layer-${folder}`,
  severity: 'error',
  comment: `src/${folder} may import only: ${[folder, ...allowed].join(', ')}`,
  from: { path: `^src/${folder}/` },
  to: {
    path: '^src/',
    pathNot: [folder, ...allowed].map((name) => (name.endsWith('$') ? `^src/${name}` : `^src/${name}/`)),
  },
}));
const owned = Object.entries(ONLY_IMPORTER).map(([library, importer]) => ({
  name: `only-importer-of-${library}`,
  severity: 'error',
  from: { path: '^src/', pathNot: importer },
  to: { path: `node_modules/(@types/)?${library}(/|$)` },
}));

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    ...layers,
    ...owned,
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'nobody-imports-daemon',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(daemon/|main\\.ts$)' },
      to: { path: '^src/daemon/' },
    },
    {
      name: 'no-dev-dependency',
      severity: 'error',
      from: { path: '^src/' },
      to: {
        dependencyTypes: ['npm-dev'],
        dependencyTypesNot: ['type-only'],
        pathNot: 'node_modules/@types/',
      },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
  },
};
