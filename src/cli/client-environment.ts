/** What a shell needs so that the heroku CLI and git speak to this daemon (`dynodock env`). */
export interface ClientSettings {
  apiPort: number;
  token: string;
  /** Certificate of the local CA. */
  caCertificate: string;
  /** The CA's certificate behind what the user already trusts; written by the caller when `needsBundle` says so. */
  clientBundle: string;
  gitBundle: string;
  /** Folder of the `dynodock` command. */
  binDir: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

export interface ClientEnvironment {
  variables: Record<string, string>;
  /** Bundle file → the user's own file that goes in front of the CA's certificate. */
  bundles: { file: string; userFile: string }[];
}

/**
 * The variables (each explained in docs/cli.md), given the shell's present environment: what the user has set for git
 * and Node is kept and added to. Doing it twice changes nothing.
 */
export function clientEnvironment(settings: ClientSettings, env: Environment): ClientEnvironment {
  const origin = `http://localhost:${settings.apiPort}`;
  const gitOrigin = `https://localhost:${settings.apiPort}`;
  const bundles: ClientEnvironment['bundles'] = [];
  const withUserFile = (userFile: string | undefined, bundle: string): string => {
    if (userFile === undefined || userFile === '' || userFile === settings.caCertificate) {
      return settings.caCertificate;
    }
    if (userFile !== bundle) bundles.push({ file: bundle, userFile });
    return bundle;
  };
  const variables: Record<string, string> = {
    HEROKU_HOST: origin,
    HEROKU_API_KEY: settings.token,
    // A host name only: scheme and port are taken from HEROKU_HOST.
    HEROKU_DATA_HOST: 'localhost',
    PGDIAGNOSE_URL: 'localhost',
    HEROKU_PARTICLEBOARD_URL: origin,
    HEROKU_BUILDPACK_REGISTRY_URL: origin,
    HEROKU_LOGIN_HOST: origin,
    HEROKU_STATUS_HOST: origin,
    DISABLE_TELEMETRY: 'true',
    HEROKU_SKIP_NEW_VERSION_CHECK: 'true',
    HEROKU_DISABLE_AUTOUPDATE: '1',
    NODE_EXTRA_CA_CERTS: withUserFile(env.NODE_EXTRA_CA_CERTS, settings.clientBundle),
    ...gitConfiguration(env, [
      [`http.${gitOrigin}/.sslCAInfo`, settings.caCertificate],
      // The empty value drops helpers from the user's files for this host; ours answers without starting the CLI.
      [`credential.${gitOrigin}.helper`, ''],
      // Only asked for credentials: git would wait for it once more to store what it keeps anyway.
      [
        `credential.${gitOrigin}.helper`,
        `!f() { test "$1" != get || '${settings.binDir}/dynodock' git-credentials "$1"; }; f`,
      ],
    ]),
  };
  // This variable wins over http.sslCAInfo, so that the CA has to be in its file too.
  if (env.GIT_SSL_CAINFO !== undefined && env.GIT_SSL_CAINFO !== '') {
    variables.GIT_SSL_CAINFO = withUserFile(env.GIT_SSL_CAINFO, settings.gitBundle);
  }
  const path = (env.PATH ?? '').split(':');
  if (!path.includes(settings.binDir)) variables.PATH = [settings.binDir, ...path].join(':');
  return { variables, bundles };
}

/** GIT_CONFIG_COUNT and its pairs: configuration for this shell alone, the user's files stay as they are. */
function gitConfiguration(
  env: Environment,
  ours: readonly (readonly [string, string])[],
): Record<string, string> {
  const kept: (readonly [string, string])[] = [];
  const count = Number(env.GIT_CONFIG_COUNT ?? '0');
  for (let index = 0; index < count; index += 1) {
    const key = env[`GIT_CONFIG_KEY_${index}`];
    const value = env[`GIT_CONFIG_VALUE_${index}`];
    if (key === undefined || value === undefined) continue;
    if (!ours.some(([ourKey]) => ourKey === key)) kept.push([key, value]);
  }
  const all = [...kept, ...ours];
  return Object.fromEntries([
    ['GIT_CONFIG_COUNT', String(all.length)],
    ...all.flatMap(([key, value], index) => [
      [`GIT_CONFIG_KEY_${index}`, key],
      [`GIT_CONFIG_VALUE_${index}`, value],
    ]),
  ]) as Record<string, string>;
}

export const SHELLS = ['sh', 'fish', 'powershell'] as const;
export type Shell = (typeof SHELLS)[number];

/** By the login shell's path; bash, zsh and dash all read the syntax of `sh`. */
export function guessShell(shellPath: string | undefined): Shell {
  const name = shellPath?.split('/').at(-1) ?? '';
  if (name === 'fish') return 'fish';
  if (name === 'pwsh' || name === 'powershell') return 'powershell';
  return 'sh';
}

/** Statements for `eval`. */
export function formatForShell(shell: Shell, variables: Readonly<Record<string, string>>): string {
  return Object.entries(variables)
    .map(([name, value]) => {
      switch (shell) {
        case 'sh':
          return `export ${name}='${value.replaceAll("'", `'\\''`)}'`;
        case 'fish':
          return name === 'PATH'
            ? `set -gx PATH ${value.split(':').map(fishQuote).join(' ')}`
            : `set -gx ${name} ${fishQuote(value)}`;
        case 'powershell':
          return `$env:${name} = '${value.replaceAll("'", "''")}'`;
      }
    })
    .map((line) => `${line}\n`)
    .join('');
}

function fishQuote(value: string): string {
  return `'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
