import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { DockerEngine } from '../engine/docker-engine';
import { locateEngine } from '../engine/engine-location';
import type { ContainerEngine, EngineInfo } from '../engine/engine';
import { ownedLabels } from '../engine/labels';
import type { Config } from './config';
import type { Paths } from './paths';

export interface ConnectedEngine {
  engine: ContainerEngine;
  info: EngineInfo;
  foundBy: string;
}

/** Finds the engine, or fails with `unreachable` naming everything that was tried. */
export async function connectEngine(config: Config): Promise<ConnectedEngine> {
  const location = await locateEngine({ environment: config.environment, homeDir: homedir() });
  const engine = new DockerEngine(
    location.address,
    config.reachability === 'auto' ? {} : { reachability: config.reachability },
  );
  return { engine, info: await engine.info(), foundBy: location.foundBy };
}

/** The one bridge of all builds and dynos of an installation: containers on it can't reach each other. */
export async function ensureNetwork(engine: ContainerEngine, installationId: string): Promise<string> {
  const name = networkName(installationId);
  await engine.ensureNetwork({
    name,
    labels: ownedLabels(installationId, 'network'),
    interContainerTraffic: false,
  });
  return name;
}

export function networkName(installationId: string): string {
  return `dynodock-${installationId.slice(0, 8)}`;
}

/**
 * A copy of the host's bundle inside the data folder, where every engine can mount it from, and with it the local CA,
 * once there is one: dynos speak TLS to add-ons, and to each other's domains.
 */
export function copyTrustBundle(config: Config, paths: Paths): string | undefined {
  if (config.caBundle === null) return undefined;
  // Of this process: several commands may do this at once.
  const temporary = `${paths.trustBundle}.${process.pid}`;
  const { caCertificate } = paths;
  const parts = [config.caBundle, ...(existsSync(caCertificate) ? [caCertificate] : [])];
  writeFileSync(temporary, parts.map((file) => readFileSync(file, 'utf8').trimEnd() + '\n').join(''));
  renameSync(temporary, paths.trustBundle);
  return paths.trustBundle;
}
