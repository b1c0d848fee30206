import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Command, Option } from 'commander';
import { ApiClientError, createApiClient, type ApiClient, type ContainerApiClient } from './cli/api-client';
import type { BenchArguments } from './cli/bench/options';
import type { BuildArguments } from './cli/build-options';
import {
  clientEnvironment,
  formatForShell,
  guessShell,
  SHELLS,
  type ClientSettings,
  type Shell,
} from './cli/client-environment';
import type { ContainerPushOptions } from './cli/container-push';
import { collectGarbage } from './cli/gc';
import { answerCredentialRequest } from './cli/git-credentials';
import { CommandError, printLines, printTable, readStandardInput, warn, writeOutput } from './cli/terminal';
import { idle, sleepSettings, wake, type SleepOptions } from './cli/sleep';
import { deletedAddOns, describeAddOns, undeleteAddOn } from './cli/addons';
import { registeredServices, registerService, unregisterService, type RegisterOptions } from './cli/partners';
import { addJob, listJobs, removeJob, runJob } from './cli/scheduler';
import { describeApp, describeApps } from './cli/status';
import { ConfigError, describeSettings, loadConfig, processEnvironment, type Config } from './daemon/config';
import { findInstance, type Instance } from './daemon/instance';
import { Paths } from './daemon/paths';
import { onEndSignal } from './daemon/signals';
import { StartError, startDetached } from './daemon/up';
import { EngineError } from './engine/engine';

// What only one command needs is imported there: git runs `git-credentials` in every push and waits for it, and loading
// the whole platform takes four times as long as answering.

/** The installed package: holds bin/, dist/, buildpacks/ and images/. */
const PACKAGE_DIR = path.join(__dirname, '..');
const IMAGES_DIR = path.join(PACKAGE_DIR, 'images');
const BIN_DIR = path.join(PACKAGE_DIR, 'bin');
const STOPPED_GRACE_MS = 5_000;

const { version } = JSON.parse(readFileSync(path.join(PACKAGE_DIR, 'package.json'), 'utf8')) as {
  version: string;
};

function buildProgram(): Command {
  const program = new Command('dynodock')
    .description('Heroku on your own machine.')
    .version(version)
    .addHelpText('after', () => {
      const settings = describeSettings(processEnvironment());
      const lines = settings.map(
        ({ name, value, help }) => `  ${name.padEnd(31)} ${help} (${value || 'none'})`,
      );
      return `\nSettings, by environment:\n${lines.join('\n')}\n\nApps are worked with by the heroku CLI: eval "$(dynodock env)", then heroku create.`;
    });

  program
    .command('up')
    .description('start the platform: daemon and router')
    .option('-d, --detach', 'in the background')
    .addOption(new Option('--detached-child').hideHelp())
    .action(async (options: { detach?: boolean; detachedChild?: boolean }) => up(options));

  program
    .command('down')
    .description('stop daemon and router; dynos and add-ons keep running')
    .option('-a, --all', 'stop the dynos and add-ons too')
    .action(async (options: { all?: boolean }) => down(options.all === true));

  program
    .command('status [app]')
    .description('what runs, app by app; of one app also how it sleeps, and what woke it')
    .action(async (app?: string) => status(app));

  program
    .command('idle <app>')
    .description('put an app to sleep now, as if its time without traffic had come')
    .action(async (app: string) => printLines(await idle((await daemon()).api, app)));

  program
    .command('wake <app>')
    .description('wake a sleeping app without a request')
    .action(async (app: string) => printLines(await wake((await daemon()).api, app)));

  program
    .command('sleep <app>')
    .description('show or change how an app sleeps; "default" goes back to what the settings say')
    .option('--after <time>', 'sleep after so long without web traffic: 30s, 10m, never, default')
    .option(
      '--depth <depth>',
      'stopped (as on Heroku), frozen (memory stays), tiered (frozen, later stopped), default',
    )
    .option('--frozen-for <time>', 'with tiered sleep: stopped after so long')
    .action(async (app: string, options: SleepOptions) =>
      printLines(...(await sleepSettings((await daemon()).api, app, options))),
    );

  program
    .command('gc')
    .description('remove what older deploys have left on the disk; the daemon does so by itself')
    .option('-n, --dry-run', 'only say what would go and what stays, and why')
    .action(async (options: { dryRun?: boolean }) => gc(options.dryRun === true));

  program
    .command('container:push <app> [words...]')
    .usage('[options] <app> [process types...] [folder]')
    .description('build Dockerfiles for an app on the container stack, and release the images')
    .option(
      '-R, --recursive',
      'Dockerfile.<process type> in the folder and below, each built in its own folder',
    )
    .option('-f, --file <path>', 'the Dockerfile, from the folder')
    .option('--arg <name=value>', 'a build argument; may be given more than once', collect)
    .option('--context-path <folder>', 'the context, instead of the folder')
    .action(async (app: string, words: string[], options: ContainerPushOptions) =>
      containerPush(app, words, options),
    );

  program
    .command('addons:undelete [name]')
    .description('get a destroyed add-on back with its data; without a name, list those that can be had')
    .option('-a, --app <app>', 'the app that is to have it; default: the one that had it')
    .action(async (name: string | undefined, options: { app?: string }) => {
      const { api } = await daemon();
      if (name === undefined) printTable(await deletedAddOns(api));
      else printLines(...(await undeleteAddOn(api, name, options.app)));
    });

  program
    .command('addons:register <file>')
    .description('add a service of the Add-on Partner API, by its addon-manifest.json')
    .option('--production', 'call the production URLs of the manifest')
    .option('--test', 'call the test URLs of the manifest (default, where there are any)')
    .action(async (file: string, options: RegisterOptions) =>
      printLines(...(await registerService((await daemon()).api, file, options))),
    );

  program
    .command('addons:registered')
    .description('list the services of the Add-on Partner API')
    .action(async () => printTable(await registeredServices((await daemon()).api)));

  program
    .command('addons:unregister <service>')
    .description('remove a service of the Add-on Partner API')
    .option('--force', 'although the partner still has add-ons, or does not answer')
    .action(async (service: string, { force }: { force?: boolean }) =>
      printLines(...(await unregisterService((await daemon()).api, service, force === true))),
    );

  program
    .command('scheduler <app>')
    .description('jobs of the add-on scheduler: when they are due, and how they ran')
    .action(async (app: string) => printTable(await listJobs((await daemon()).api, app)));

  program
    .command('scheduler:add <app> <command...>')
    .usage('[options] <app> -- <command...>')
    .description('run a command in a one-off dyno again and again')
    .requiredOption(
      '--at <frequency>',
      '"every 10 minutes", "every hour at :20", "every day at 08:30 UTC", "cron 0 9 * * mon-fri"',
    )
    .option('-s, --size <size>', 'of the dyno; default: as of web')
    .action(async (app: string, command: string[], options: { at: string; size?: string }) =>
      printLines(await addJob((await daemon()).api, app, { command, ...options })),
    );

  program
    .command('scheduler:remove <app> <job>')
    .description('remove a job; what runs of it goes on')
    .action(async (app: string, job: string) => printLines(await removeJob((await daemon()).api, app, job)));

  program
    .command('scheduler:run <app> <job>')
    .description('run a job now, whenever it is due')
    .action(async (app: string, job: string) => printLines(await runJob((await daemon()).api, app, job)));

  program
    .command('doctor')
    .description('check every precondition, and say what to do')
    .action(async () => doctor());

  program
    .command('env')
    .description('print what a shell needs so that heroku and git use this platform: eval "$(dynodock env)"')
    .option('-s, --shell <name>', `syntax: ${SHELLS.join(', ')}`)
    .action(async (options: { shell?: string }) => env(options.shell));

  program
    .command('bench <url>')
    .description('load-test an app: requests/s, latencies, statuses, H-codes, and the dynos that served')
    .option('-c, --connections <number>', 'requests at a time, each on a connection of its own', '32')
    .option('-d, --duration <seconds>', 'of each run', '10')
    .option('-m, --method <method>', 'GET, or POST with --body')
    .option('-H, --header <header>', "'Name: value'; may be given more than once", collect)
    .option('-b, --body <text>', 'of each request')
    .option(
      '-s, --scale <numbers>',
      'a run with each number of web dynos: 1..4, or 1,2,4; scales back at the end',
    )
    .option('--any-host', 'also what is no app of this installation, on this machine')
    .option('--json', 'the result as JSON')
    .action(async (url: string, given: BenchArguments) => bench(url, given));

  program
    .command('build <folder>')
    .description(
      'build a folder to an image, with no app and no daemon; .gitignore does not count, .slugignore does',
    )
    .option(
      '-b, --buildpack <name>',
      'name, URL or folder; may be given more than once; else detected',
      collect,
    )
    .option('-e, --env <key=value>', 'config var of the build, not kept in the image', collect)
    .option('--env-file <file>', 'config vars of the build, a KEY=VALUE per line')
    .option('-t, --tag <reference>', 'of the image (dynodock/build:<name of the folder>)')
    .option('-s, --stack <name>', 'heroku-24, or heroku-22')
    .option(
      '--test',
      'run the tests (bin/test-compile and bin/test) in place of a build; exits with their status',
    )
    .action(async (folder: string, given: BuildArguments) => build(folder, given));

  program
    .command('images')
    .description('build the images that builds and dynos run on')
    .option(
      '--addons [names...]',
      'also those of add-ons: all, or these; they are built on first use otherwise',
    )
    .option('--daemon', 'also the image of daemon and router for docker-compose.yml')
    .action(async (options: { daemon?: boolean; addons?: true | string[] }) => images(options));

  program
    .command('router')
    .description('run the router process (the daemon starts it by itself)')
    .action(router);

  program
    .command('git-credentials <operation>', { hidden: true })
    .description("git's credential helper for this platform")
    .action(async (operation: string) => gitCredentials(operation));

  return program;
}

async function up(options: { detach?: boolean; detachedChild?: boolean }): Promise<void> {
  const { config, paths } = open();
  const running = await findInstance(paths);
  if (running !== undefined) {
    throw new CommandError(
      `dynodock is already running here (process ${running.pid}, API on port ${running.apiPort}).`,
      'To see what runs: dynodock status. To stop it: dynodock down.',
    );
  }
  if (options.detach === true) {
    const { prepareImages } = await import('./daemon/images.js');
    await prepareImages({ config, paths, imagesDir: IMAGES_DIR, onProgress: (line) => warn(line) });
    const instance = await startDetached(paths, __filename);
    printLines(
      `dynodock is up: API on port ${instance.apiPort}, apps on ports ${instance.routerHttpPort} and ${instance.routerHttpsPort} (https).`,
    );
    return;
  }
  const [{ Daemon }, { createLogger }] = await Promise.all([
    import('./daemon/daemon.js'),
    import('./lib/logger.js'),
  ]);
  const detached = options.detachedChild === true;
  const logger = createLogger({ level: config.logLevel, ...(detached ? { file: paths.daemonLog } : {}) });
  const daemon = new Daemon({
    config,
    paths,
    packageDir: PACKAGE_DIR,
    mainScript: __filename,
    version,
    logger,
  });
  const ended = new Promise<void>((resolve) => {
    onEndSignal(logger, (signal) => {
      logger.info('stopping', { signal });
      resolve();
    });
  });
  await daemon.start();
  if (!detached)
    warn(
      `dynodock is up: API on port ${config.apiPort}, apps on ports ${config.routerHttpPort} and ${config.routerHttpsPort} (https).`,
    );
  await ended;
  await daemon.stop();
  // Whatever is still open now is a mistake, but nobody's state is lost by ending, and who waits is not kept waiting.
  setTimeout(() => {
    logger.error('something was left open when the daemon stopped', {
      open: process.getActiveResourcesInfo(),
    });
    process.exit();
  }, STOPPED_GRACE_MS).unref();
}

async function down(all: boolean): Promise<void> {
  const { stopAll, stopDaemon, stopRouter } = await import('./daemon/down.js');
  const { config, paths } = open();
  const daemon = await stopDaemon(paths);
  const routerRan = await stopRouter(paths);
  if (!daemon && !routerRan && !all) {
    printLines('dynodock is not running.');
    return;
  }
  if (daemon || routerRan) printLines('dynodock is down.');
  if (all) {
    const stopped = await stopAll(config, paths);
    const dynos = `${stopped.dynos} ${stopped.dynos === 1 ? 'dyno' : 'dynos'}`;
    const addOns = `${stopped.addons} ${stopped.addons === 1 ? 'add-on' : 'add-ons'}`;
    printLines(`${stopped.addons === 0 ? dynos : `${dynos} and ${addOns}`} stopped.`);
  } else printLines('Dynos and add-ons keep running; `dynodock down --all` stops them too.');
}

async function status(app?: string): Promise<void> {
  const { api, instance, paths } = await daemon();
  if (app !== undefined) {
    printLines(...(await describeApp(api, app)));
    return;
  }
  printLines(
    `dynodock ${instance.version}, process ${instance.pid}, since ${instance.startedAt}`,
    `API and git on port ${instance.apiPort}, apps on ports ${instance.routerHttpPort} and ${instance.routerHttpsPort} (https), data in ${paths.dataDir}`,
    '',
    ...(await describeApps(api)),
    ...(await describeAddOns(api)),
  );
}

/** The running daemon of the settings' data folder. */
async function daemon(): Promise<{ api: ApiClient & ContainerApiClient; instance: Instance; paths: Paths }> {
  const { paths } = open();
  const instance = await findInstance(paths);
  if (instance === undefined)
    throw new CommandError('dynodock is not running.', 'To start it: dynodock up --detach');
  return { api: createApiClient({ apiPort: instance.apiPort, token: readToken(paths) }), instance, paths };
}

async function gc(dryRun: boolean): Promise<void> {
  const { rows, summary } = await collectGarbage((await daemon()).api, { dryRun });
  printTable(rows);
  if (rows.length > 0) printLines('');
  printLines(...summary);
}

async function containerPush(app: string, words: string[], options: ContainerPushOptions): Promise<void> {
  const [{ pushContainers }, { silentLogger }] = await Promise.all([
    import('./cli/container-push.js'),
    import('./lib/logger.js'),
  ]);
  const calledOff = new AbortController();
  const forget = onEndSignal(silentLogger, () => calledOff.abort());
  try {
    const { api } = await daemon();
    const write = (text: string): void => void process.stdout.write(text);
    await pushContainers({ api, cwd: process.cwd(), write, signal: calledOff.signal }, app, words, options);
  } catch (error) {
    if (!calledOff.signal.aborted) throw error;
    throw new CommandError('Called off; nothing was released.');
  } finally {
    forget();
  }
}

async function doctor(): Promise<void> {
  const { examine } = await import('./daemon/doctor.js');
  const { config, paths } = open({ create: false });
  const findings = await examine(config, paths, IMAGES_DIR);
  const marks = { ok: 'ok', warning: 'warning', problem: 'PROBLEM' };
  printTable(
    findings.map(({ what, result, detail, advice }) => ({
      cells: [marks[result], what, detail],
      ...(advice === undefined ? {} : { note: advice }),
    })),
  );
  const problems = findings.filter((finding) => finding.result === 'problem').length;
  if (problems > 0) throw new CommandError(`${problems} ${problems === 1 ? 'problem' : 'problems'} found.`);
  printLines('', 'All is well.');
}

async function env(shellName: string | undefined): Promise<void> {
  const { config, paths } = open({ create: false });
  if (!existsSync(paths.token) || !existsSync(paths.caCertificate)) {
    throw new CommandError('dynodock was never started here.', 'To start it: dynodock up --detach');
  }
  const environment = processEnvironment();
  const shell = shellName === undefined ? guessShell(environment.SHELL) : parseShell(shellName);
  const instance = await findInstance(paths);
  const clientDir = path.join(paths.dataDir, 'client');
  const settings: ClientSettings = {
    apiPort: instance?.apiPort ?? config.apiPort,
    token: readToken(paths),
    caCertificate: paths.caCertificate,
    clientBundle: path.join(clientDir, 'node-ca-bundle.pem'),
    gitBundle: path.join(clientDir, 'git-ca-bundle.pem'),
    binDir: BIN_DIR,
  };
  const { variables, bundles } = clientEnvironment(settings, environment);
  for (const { file, userFile } of bundles) {
    mkdirSync(clientDir, { recursive: true });
    const own = readFileSync(paths.caCertificate, 'utf8');
    const users = existsSync(userFile) ? readFileSync(userFile, 'utf8') : '';
    writeFileSync(file, `${users.trimEnd()}\n${own}`);
  }
  process.stdout.write(formatForShell(shell, variables));
}

async function bench(url: string, given: BenchArguments): Promise<void> {
  const [{ runBench }, { readOptions }, { silentLogger }] = await Promise.all([
    import('./cli/bench/bench.js'),
    import('./cli/bench/options.js'),
    import('./lib/logger.js'),
  ]);
  const options = readOptions(url, given);
  const running = options.anyHost ? undefined : await daemon();
  const calledOff = new AbortController();
  const forget = onEndSignal(silentLogger, () => calledOff.abort());
  try {
    await runBench(options, {
      platform: running && { api: running.api, routerHttpPort: running.instance.routerHttpPort },
      print: printLines,
      tell: warn,
      signal: calledOff.signal,
    });
  } finally {
    forget();
  }
}

async function build(folder: string, given: BuildArguments): Promise<void> {
  const [{ buildFolder }, { readBuildOptions }, { createLogger }] = await Promise.all([
    import('./daemon/folder-build.js'),
    import('./cli/build-options.js'),
    import('./lib/logger.js'),
  ]);
  const options = readBuildOptions(folder, given, process.cwd());
  const { config, paths } = open();
  const logger = createLogger({ level: 'error' });
  const calledOff = new AbortController();
  const forget = onEndSignal(logger, () => calledOff.abort());
  try {
    const { exitCode, lines } = await buildFolder(options, {
      config,
      paths,
      packageDir: PACKAGE_DIR,
      logger,
      print: writeOutput,
      tell: (line) => warn(line),
      signal: calledOff.signal,
    });
    printLines('', ...lines);
    process.exitCode = exitCode;
  } finally {
    forget();
  }
}

async function images(given: { daemon?: boolean; addons?: true | string[] }): Promise<void> {
  const { buildAddOnImages, buildDaemonImage, prepareImages } = await import('./daemon/images.js');
  const { config, paths } = open();
  const options = { config, paths, imagesDir: IMAGES_DIR, onProgress: (line: string) => warn(line) };
  const stacks = await prepareImages(options);
  printLines(...Object.values(stacks).flatMap(({ run, build }) => [run, build]));
  if (given.addons !== undefined) {
    printLines(...(await buildAddOnImages(options, given.addons === true ? undefined : given.addons)));
  }
  if (given.daemon === true) printLines(await buildDaemonImage({ ...options, packageDir: PACKAGE_DIR }));
}

async function router(): Promise<void> {
  const [{ createLogger }, { runRouter }] = await Promise.all([
    import('./lib/logger.js'),
    import('./router/main.js'),
  ]);
  const { config, paths } = open();
  await runRouter({
    dataDir: paths.run,
    socketPath: paths.routerSocket,
    snapshotPath: paths.routerSnapshot,
    listen: {
      hosts: ['127.0.0.1', '::1'],
      httpPort: config.routerHttpPort,
      httpsPort: config.routerHttpsPort,
    },
    certificatesDir: paths.appCertificates,
    workers: config.routerWorkers,
    logger: createLogger({ level: config.logLevel, file: paths.routerLog }),
  });
}

async function gitCredentials(operation: string): Promise<void> {
  const { config, paths } = open({ create: false });
  const instance = await findInstance(paths);
  const apiPort = instance?.apiPort ?? config.apiPort;
  const request = await readStandardInput();
  process.stdout.write(answerCredentialRequest(operation, request, { apiPort, token: readToken(paths) }));
}

function open(options: { create: boolean } = { create: true }): { config: Config; paths: Paths } {
  const config = loadConfig(processEnvironment());
  const paths = new Paths(config.dataDir);
  if (options.create) paths.create();
  return { config, paths };
}

function readToken(paths: Paths): string {
  if (!existsSync(paths.token)) {
    throw new CommandError('dynodock was never started here.', 'To start it: dynodock up --detach');
  }
  return readFileSync(paths.token, 'utf8').trim();
}

/** An option that may be given more than once. */
function collect(value: string, previous: readonly string[] = []): string[] {
  return [...previous, value];
}

function parseShell(name: string): Shell {
  const known =
    SHELLS.find((shell) => shell === name) ?? (['bash', 'zsh', 'dash'].includes(name) ? 'sh' : undefined);
  if (known === undefined) throw new CommandError(`Shell ${name} is not known: ${SHELLS.join(', ')}.`);
  return known;
}

/** Errors that are meant for the user are shown as they are; anything else is a bug and shown whole. */
function report(error: unknown): void {
  if (error instanceof ApiClientError) warn(error.message);
  else if (error instanceof CommandError)
    warn(error.message, ...(error.advice === undefined ? [] : [error.advice]));
  else if (error instanceof ConfigError || error instanceof StartError) warn(error.message);
  else if (error instanceof EngineError) {
    warn(`Container engine: ${error.message}`, 'To see what is missing: dynodock doctor');
  } else warn(error instanceof Error ? (error.stack ?? error.message) : String(error));
}

buildProgram()
  .parseAsync()
  .catch((error: unknown) => {
    report(error);
    process.exitCode = 1;
  });
