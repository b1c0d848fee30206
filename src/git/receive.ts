import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import path from 'node:path';
import type { Actor } from '../domain/account';
import type { App } from '../domain/app';
import { GIT_OPTIONS, gitEnvironment } from '../lib/git';
import { describeError, type Logger } from '../lib/logger';
import { listenPrivately } from '../lib/private-socket';
import { run } from '../lib/process';
import type { DeployWatch } from '../platform/dynos/deploy-watch';
import type { ReleaseId } from '../domain/ids';
import type { Builds } from '../platform/builds/builds';
import type { ReleasePhase } from '../platform/releases/release-phase';
import { HOOK_NAMES, HookConnection, type HookName, type HookRequest } from './hook-connection';
import { planPush, type RefUpdate } from './push-plan';
import { QUARANTINE_FOLDER } from './repositories';

export interface PushReceiverOptions {
  /** Of the unix socket by which hooks reach this process. At most about 100 bytes long. */
  socketPath: string;
  /** Made and filled by `start`: what git is given as core.hooksPath. */
  hooksDir: string;
  /** The node that runs the hook. */
  nodePath: string;
  /** How the dynos of a release start. */
  deploys: Pick<DeployWatch, 'outcome'>;
  builds: Pick<Builds, 'create' | 'outputStream'>;
  /** What becomes of a release that has a release command. */
  releases: Pick<ReleasePhase, 'outputStream' | 'settled'>;
  logger: Logger;
}

export interface Push {
  app: App;
  actor: Actor;
  repositoryDir: string;
}

export interface PushSession {
  /** For git-receive-pack and the hook that it starts. */
  environment: Readonly<Record<string, string>>;
  /** Git has ended, refs updated or not. To be called in any case. */
  end(): Promise<void>;
}

interface Session extends Push {
  ended: Promise<void>;
  /** Hooks that have not come yet: each secret is good for one run of each. */
  awaited: Set<HookName>;
  /** What was made of the push. */
  releaseId: ReleaseId | undefined;
  /** Where git holds what was pushed until the hook has agreed. */
  quarantine: string | undefined;
}

const GIT_TIMEOUT_MS = 60_000;
const HOOK_PATH = path.join(__dirname, 'hook.cjs');

/**
 * Deploys what is pushed, from within git's pre-receive hook: a push whose build fails changes nothing in the
 * repository. What becomes of the release is told from within the post-receive hook: by then the push is done, whether
 * its release command fails or the one who pushed does not wait for it. Pushes of one app go one after the other until git has updated its refs, so that no two of them deploy
 * on top of the same state.
 */
export class PushReceiver {
  readonly #options: PushReceiverOptions;
  readonly #sessions = new Map<string, Session>();
  readonly #sockets = new Set<Socket>();
  /** Per app: resolves when the last push in its queue has ended. */
  readonly #turns = new Map<string, Promise<void>>();
  #server: Server | undefined;

  constructor(options: PushReceiverOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { socketPath, hooksDir, nodePath } = this.#options;
    await mkdir(hooksDir, { recursive: true, mode: 0o700 });
    for (const name of HOOK_NAMES) {
      const hook = path.join(hooksDir, name);
      await writeFile(hook, `#!/bin/sh\nexec ${quote(nodePath)} ${quote(HOOK_PATH)} ${name}\n`);
      await chmod(hook, 0o700);
    }
    // Left behind by a daemon that was killed; who else runs is settled by the lock on the data folder.
    await rm(socketPath, { force: true });
    const server = createServer((socket) => void this.#accept(socket));
    await listenPrivately(server, socketPath);
    this.#server = server;
  }

  /** Ends the pushes under way. */
  async stop(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    const closed = once(server, 'close');
    server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  get hooksDir(): string {
    return this.#options.hooksDir;
  }

  /** To be called before git-receive-pack is started. */
  begin(push: Push): PushSession {
    const secret = randomBytes(32).toString('hex');
    let finish: () => void = () => undefined;
    const ended = new Promise<void>((resolve) => (finish = resolve));
    const session: Session = {
      ...push,
      ended,
      awaited: new Set(HOOK_NAMES),
      releaseId: undefined,
      quarantine: undefined,
    };
    this.#sessions.set(secret, session);
    return {
      environment: { DYNODOCK_PUSH_SOCKET: this.#options.socketPath, DYNODOCK_PUSH_SECRET: secret },
      end: async () => {
        this.#sessions.delete(secret);
        finish();
        // Git leaves it behind when it is ended by a signal (since 2.39, tmp-objdir.c).
        if (session.quarantine !== undefined) await rm(session.quarantine, { recursive: true, force: true });
      },
    };
  }

  async #accept(socket: Socket): Promise<void> {
    this.#sockets.add(socket);
    const gone = new AbortController();
    socket.on('error', () => undefined); // 'close' follows.
    socket.once('close', () => {
      this.#sockets.delete(socket);
      gone.abort();
    });
    const client = new HookConnection(socket, gone.signal);
    try {
      const request = await client.request();
      const session = this.#sessions.get(request.secret);
      if (session?.awaited.delete(request.hook) !== true) throw new Error('a hook with an unknown secret');
      if (request.hook === 'post-receive') {
        await this.#report(session, client, gone.signal);
        await client.exit(0);
        return;
      }
      session.quarantine = quarantineOf(session, request);
      const accepted = await this.#receive(session, request, client, gone.signal);
      await client.exit(accepted ? 0 : 1);
    } catch (error) {
      if (gone.signal.aborted) return;
      this.#options.logger.error('push failed by a fault', { error: describeError(error) });
      // If that can't be told any more, the closed connection tells the hook enough.
      await client
        .print('\n !     Internal error; the log of the daemon says more.\n')
        .catch(() => undefined);
      await client.exit(1).catch(() => undefined);
    } finally {
      socket.end();
    }
  }

  /** Answers whether git is to take the push. */
  async #receive(
    session: Session,
    request: HookRequest,
    client: HookConnection,
    signal: AbortSignal,
  ): Promise<boolean> {
    const plan = planPush(request.updates);
    if (plan.messages.length > 0) await client.print(`${plan.messages.join('\n')}\n`);
    if (plan.deploy === undefined) return true;

    await this.#takeTurn(session, client, signal);
    if (!(await isCurrent(session, plan.deploy, signal))) {
      await client.print(
        ' !     Another push has changed this branch in the meantime. Pull and push again.\n',
      );
      return false;
    }
    await client.print('Compressing source files... done.\nBuilding source:\n\n');
    const commit = await readCommit(session, plan.deploy.after, request.environment, signal);
    const { build, ended } = this.#options.builds.create(session.actor, session.app, {
      source: {
        kind: 'git',
        repositoryDir: session.repositoryDir,
        commit: commit.id,
        environment: request.environment,
        time: commit.time,
      },
      version: commit.id,
      versionDescription: commit.subject,
      signal,
    });
    for await (const chunk of this.#options.builds.outputStream(build.id) ?? []) await client.print(chunk);
    const { status, releaseId } = await ended;
    if (status === 'succeeded') {
      await client.print('\nVerifying deploy... done.\n');
      session.releaseId = releaseId ?? undefined;
      return true;
    }
    await client.print(`Verifying deploy...\n\n!\tPush rejected to ${session.app.name}.\n\n`);
    return false;
  }

  /** What becomes of the release. */
  async #report({ app, releaseId }: Session, client: HookConnection, signal: AbortSignal): Promise<void> {
    if (releaseId === undefined || !(await this.#takesEffect(releaseId, client, signal))) return;
    await this.#tellOfCrashes(app, releaseId, client, signal);
  }

  /** Shows what the release command does, if there is one. Its failure is none of the push (Dev Center "Release Phase"). */
  async #takesEffect(releaseId: ReleaseId, client: HookConnection, signal: AbortSignal): Promise<boolean> {
    const { releases } = this.#options;
    const output = releases.outputStream(releaseId);
    if (output !== undefined) {
      await client.print('Running release command....\n\n');
      for await (const chunk of output) await client.print(chunk);
    }
    const succeeded = (await releases.settled(releaseId, signal))?.status === 'succeeded';
    if (output !== undefined)
      await client.print(`Waiting for release.... ${succeeded ? 'done' : 'failed'}.\n`);
    return succeeded;
  }

  async #tellOfCrashes(
    app: App,
    releaseId: ReleaseId,
    client: HookConnection,
    signal: AbortSignal,
  ): Promise<void> {
    const { crashed } = await this.#options.deploys.outcome(app.id, releaseId, signal);
    for (const name of crashed) {
      await client.print(
        ` !     ${name} crashed after this deploy. To see why: heroku logs -a ${app.name}\n`,
      );
    }
  }

  async #takeTurn(session: Session, client: HookConnection, signal: AbortSignal): Promise<void> {
    const before = this.#turns.get(session.app.id);
    const mine = (before ?? Promise.resolve()).then(() => session.ended);
    this.#turns.set(session.app.id, mine);
    void mine.then(() => {
      if (this.#turns.get(session.app.id) === mine) this.#turns.delete(session.app.id);
    });
    if (before === undefined) return;
    await client.print(' !     Another build is in progress for this app; waiting for it to finish...\n');
    const gone = once(signal, 'abort');
    await Promise.race([before, gone]);
    signal.throwIfAborted();
  }
}

/** Only a folder of the very repository: what is named here gets removed. */
function quarantineOf(push: Push, { environment }: HookRequest): string | undefined {
  const folder = path.resolve(push.repositoryDir, environment.GIT_QUARANTINE_PATH ?? '.');
  const isOne =
    path.dirname(folder) === path.join(push.repositoryDir, 'objects') &&
    QUARANTINE_FOLDER.test(path.basename(folder));
  return isOne ? folder : undefined;
}

async function isCurrent(push: Push, update: RefUpdate, signal: AbortSignal): Promise<boolean> {
  const { stdout } = await run(
    'git',
    [...GIT_OPTIONS, '-C', push.repositoryDir, 'for-each-ref', '--format=%(objectname)', update.ref],
    { env: gitEnvironment(), timeoutMs: GIT_TIMEOUT_MS, signal },
  );
  const present = stdout.trim();
  return /^0+$/.test(update.before) ? present === '' : present === update.before;
}

async function readCommit(
  push: Push,
  revision: string,
  environment: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<{ id: string; time: Date; subject: string }> {
  const { stdout } = await run(
    'git',
    [...GIT_OPTIONS, '-C', push.repositoryDir, 'log', '-1', '--format=%H%x00%ct%x00%s', revision, '--'],
    { env: gitEnvironment(environment), timeoutMs: GIT_TIMEOUT_MS, signal },
  );
  const [id = '', seconds = '', subject = ''] = stdout.trimEnd().split('\0');
  return { id, time: new Date(Number(seconds) * 1000), subject };
}

/** For sh. */
function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
