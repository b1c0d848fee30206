/** The command of the servers that stand in `images/addons` in TypeScript, which the image's Node.js runs as it is. */
export function nodeServer(configFile: string): string[] {
  return [
    '/opt/dynodock/node/bin/node',
    '--disable-warning=ExperimentalWarning',
    '--disable-warning=MODULE_TYPELESS_PACKAGE_JSON',
    // Young objects get little room of their own: an idle server stays small.
    '--max-semi-space-size=2',
    '/opt/dynodock/addon/server.ts',
    configFile,
  ];
}
