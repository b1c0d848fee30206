import type { TestFiles } from './git-repository';

const SERVER = `
const http = require('node:http');
const server = http.createServer((request, response) => {
  const { pathname, search } = new URL(request.url, 'http://localhost');
  const argument = decodeURIComponent(search.slice(1));
  if (pathname === '/env') response.end(process.env[argument] ?? '(unset)');
  else if (pathname === '/log') {
    console.log(argument);
    response.end('logged');
  } else response.end(require('./page.json'));
});
server.listen(process.env.PORT, () => console.log('Listening'));
process.on('SIGTERM', () => process.exit(0));
`;

/**
 * A web app that answers with `page`, at /env?NAME with a variable of its environment, and prints what it is told at
 * /log?text.
 */
export function sampleApp(page = 'one', more: TestFiles = {}): TestFiles {
  return {
    Procfile: 'web: node server.js\nworker: node worker.js\n',
    'package.json': packageJson({}),
    'server.js': SERVER,
    'worker.js': 'setInterval(() => undefined, 1000);\n',
    ...pageOf(page),
    ...more,
  };
}

export function pageOf(page: string): TestFiles {
  return { 'page.json': JSON.stringify(page) };
}

/** `build` is the build script, e.g. one that takes its time or fails. */
export function packageJson(scripts: { build?: string }): string {
  return JSON.stringify({ name: 'sample', version: '1.0.0', private: true, scripts });
}
