import { randomUUID } from 'node:crypto';
import { dynoName, type Dyno } from '../domain/dyno';
import type { DynoId } from '../domain/ids';
import { DYNO_LABEL, ownedLabels } from '../engine/labels';
import type { AttachedCommand, ContainerEngine, ContainerId, TerminalSize } from '../engine/engine';
import { sleep, type Clock } from '../lib/clock';
import type { Logger } from '../lib/logger';
import type { Store } from '../store/store';
import { launchCommand, shellCommand } from './dyno-spec';
import { joinStreams, type ProcessClient } from './process-client';

export interface InsideOptions {
  store: Store;
  engine: ContainerEngine;
  clock: Clock;
  logger: Logger;
  installationId: string;
  /** Aborted when the daemon stops. */
  stopping: AbortSignal;
}

export interface InsideCommand {
  command: string;
  env: Readonly<Record<string, string>>;
  terminal: TerminalSize | null;
}

/** Inherited by everything that a command starts, which is how its processes are found among the dyno's. */
const MARK = 'DYNODOCK_RUN_INSIDE';
const SIGHUP_TO_SIGKILL_MS = 10_000;
const SIGNAL_TIMEOUT_MS = 5000;

/**
 * Commands in the container of a running dyno (`heroku run:inside`). They leave no row: one ends with its client,
 * with its dyno, or with the daemon.
 */
export class InsideCommands {
  readonly #options: InsideOptions;
  readonly #running = new Map<Promise<void>, ProcessClient>();

  constructor(options: InsideOptions) {
    this.#options = options;
  }

  run(dynoId: DynoId, command: InsideCommand, client: ProcessClient): void {
    const { store, logger, stopping } = this.#options;
    const dyno = store.dynos.get(dynoId);
    if (dyno === undefined || stopping.aborted) {
      client.close();
      return;
    }
    const done = this.#run(dyno, command, client)
      .catch((error: unknown) => {
        if (!stopping.aborted) {
          logger.warn('a command inside a dyno was cut off', {
            dyno: dynoName(dyno),
            app: dyno.appId,
            error,
          });
        }
        client.close();
      })
      .finally(() => this.#running.delete(done));
    this.#running.set(done, client);
  }

  async stop(): Promise<void> {
    for (const client of this.#running.values()) client.close();
    await Promise.all(this.#running.keys());
  }

  async #run(dyno: Dyno, command: InsideCommand, client: ProcessClient): Promise<void> {
    const { engine, installationId, store } = this.#options;
    const [container] = await engine.list(ownedLabels(installationId, 'dyno', { [DYNO_LABEL]: dyno.id }));
    if (container === undefined || hasLeft(client)) {
      client.close();
      return;
    }
    const mark = randomUUID();
    const slug = store.slugs.ofRelease(store.releases.get(dyno.releaseId));
    const launch = slug?.images === undefined ? launchCommand : shellCommand;
    const attached = await engine.execAttached(container.id, launch(command.command, command.terminal), {
      env: { ...command.env, [MARK]: mark },
      terminal: command.terminal,
    });
    try {
      await joinStreams(attached, client);
      if (hasLeft(client)) await this.#end(container.id, mark, attached);
      else await client.finish(await attached.exitCode());
    } finally {
      attached.close();
    }
  }

  /** The client has left: SIGHUP as for a one-off dyno, then SIGKILL. */
  async #end(containerId: ContainerId, mark: string, attached: AttachedCommand): Promise<void> {
    const { clock, stopping } = this.#options;
    attached.close();
    await this.#signal(containerId, mark, 'HUP');
    // Not while the daemon stops: whatever ignores the signal is left to its dyno's end then.
    if (stopping.aborted) return;
    await sleep(clock, SIGHUP_TO_SIGKILL_MS, stopping);
    await this.#signal(containerId, mark, 'KILL');
  }

  async #signal(containerId: ContainerId, mark: string, signal: 'HUP' | 'KILL'): Promise<void> {
    const { engine, logger } = this.#options;
    const script = `
      for entry in /proc/[0-9]*/environ; do
        if grep -qzxF "$1" "$entry" 2> /dev/null; then
          process="\${entry#/proc/}"
          kill "-$2" "\${process%/environ}" 2> /dev/null
        fi
      done`;
    try {
      await engine.exec(containerId, ['/bin/sh', '-c', script, 'signal', `${MARK}=${mark}`, signal], {
        timeoutMs: SIGNAL_TIMEOUT_MS,
      });
    } catch (error) {
      // Gone together with its dyno, mostly.
      logger.debug('could not signal a command inside a dyno', { container: containerId, error });
    }
  }
}

function hasLeft(client: ProcessClient): boolean {
  return client.gone.aborted;
}
