import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { folderBuildsId } from '../build/storage';
import { CommandError } from '../cli/terminal';
import { ignoring } from '../engine/engine';
import { ownedLabels } from '../engine/labels';
import { Store } from '../store/store';
import type { Config } from './config';
import { connectEngine, networkName } from './engine-setup';
import { findInstance, ownPidNamespace } from './instance';
import type { Paths } from './paths';

/** The daemon ends within this, or is stuck: it waits for builds to be cancelled and for dynos being stopped. */
const DAEMON_STOP_MS = 60_000;
const ROUTER_STOP_MS = 15_000;
const POLL_MS = 100;
const DYNO_STOP_MS = 30_000;
/** Databases write down what they have in memory. */
const ADDON_STOP_MS = 60_000;

/** Ends the daemon in order; answers whether one ran. */
export async function stopDaemon(paths: Paths): Promise<boolean> {
  const instance = await findInstance(paths);
  if (instance === undefined) return false;
  if (instance.pidNamespace !== ownPidNamespace()) {
    throw new CommandError(
      'The daemon runs in a container.',
      'Stop it there where it was started, e.g. docker compose down. Dynos keep running.',
    );
  }
  process.kill(instance.pid, 'SIGTERM');
  const deadline = Date.now() + DAEMON_STOP_MS;
  while (isAlive(instance.pid)) {
    if (Date.now() > deadline) throw new Error(`the daemon (process ${instance.pid}) does not end`);
    // Not the daemon's clock, whose timers would not keep this command from ending.
    await delay(POLL_MS);
  }
  return true;
}

/** Asks the router to drain and end; answers whether one ran. */
export function stopRouter(paths: Paths): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(paths.routerSocket);
    let connected = false;
    socket.once('connect', () => {
      connected = true;
      socket.write(`${JSON.stringify({ type: 'shutdown' })}\n`);
      socket.setTimeout(ROUTER_STOP_MS, () => socket.destroy(new Error('the router does not end')));
    });
    socket.resume();
    // Nobody listens: no router runs.
    socket.once('error', (error) => (connected ? reject(error) : resolve(false)));
    socket.once('close', () => resolve(connected));
  });
}

/**
 * Stops and removes the containers of all dynos, one-off ones too, of add-ons, and the network that they were on; the
 * next `up` starts the formation and the add-ons again. What add-ons hold is in volumes, which stay.
 */
export async function stopAll(config: Config, paths: Paths): Promise<{ dynos: number; addons: number }> {
  const { engine } = await connectEngine(config);
  // Of `dynodock build`, which makes it anew.
  await engine.removeNetwork(networkName(folderBuildsId(paths.dataDir))).catch(ignoring('conflict'));
  const store = Store.open(paths.database);
  const installationId = store.settings.get('installation_id');
  store.close();
  if (installationId === undefined) return { dynos: 0, addons: 0 };
  const dynos = await engine.list(ownedLabels(installationId, 'dyno'));
  await Promise.all(
    dynos.map(async (dyno) => {
      await engine.stop(dyno.id, { timeoutMs: DYNO_STOP_MS }).catch(ignoring('not_found', 'not_running'));
      await engine.remove(dyno.id);
    }),
  );
  // After the dynos, whose last requests may need them.
  const addons = await engine.list(ownedLabels(installationId, 'add-on'));
  await Promise.all(
    addons.map(async (addon) => {
      // One that sleeps frozen would not hear that it is to stop.
      if (addon.state === 'paused')
        await engine.unpause(addon.id).catch(ignoring('not_found', 'not_running'));
      await engine.stop(addon.id, { timeoutMs: ADDON_STOP_MS }).catch(ignoring('not_found', 'not_running'));
      await engine.remove(addon.id);
    }),
  );
  const sandboxes = await engine.list(ownedLabels(installationId, 'sandbox'));
  await Promise.all(sandboxes.map((sandbox) => engine.remove(sandbox.id)));
  // Taken by somebody's own container: then it stays.
  await engine.removeNetwork(networkName(installationId)).catch(ignoring('conflict'));
  const running = addons.filter(({ state }) => state === 'running');
  return { dynos: dynos.length, addons: running.length };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
