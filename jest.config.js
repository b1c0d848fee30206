'use strict';

const transform = {
  '^.+\\.(t|j)s$': [
    '@swc/jest',
    { jsc: { parser: { syntax: 'typescript', decorators: true }, target: 'es2022' }, sourceMaps: 'inline' },
  ],
};

function layer(name, extra = {}) {
  return {
    displayName: name,
    testEnvironment: 'node',
    roots: ['<rootDir>/test'],
    testMatch: [`<rootDir>/test/${name}/**/*.test.ts`],
    testPathIgnorePatterns: ['/node_modules/'],
    modulePathIgnorePatterns: ['<rootDir>/dist', '<rootDir>/test/e2e/node_modules'],
    transform,
    ...extra,
  };
}

/** @type {import('jest').Config} */
module.exports = {
  projects: [layer('unit'), layer('contract'), layer('integration'), layer('e2e')],
  // Node keeps a process alive for a leaked socket or timer; Jest must then say so rather than hide it.
  forceExit: false,
};
