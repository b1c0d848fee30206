import { randomInt } from 'node:crypto';
import { isIP } from 'node:net';
import type { KeyPair } from '../domain/sni-endpoint';
import type { ContainerEngine, EngineInfo } from '../engine/engine';
import type { LocalAuthority } from './local-authority';

export interface AddOnHost {
  /** The address of the engine's host under which ports are published. */
  publishOn: string;
  /** What stands in URLs. */
  host: string;
  /** May servers listen there by themselves? */
  hostNetwork: boolean;
}

/** On a container's side this name leads to the machine that Docker Desktop runs on. */
const DESKTOP_HOST = 'host.docker.internal';

/**
 * One URL for dynos and for the user's shell (ADR 29): on the bridge's gateway both meet, and nobody from outside. An
 * engine in a virtual machine has its bridge there, so that ports come out on this machine's loopback instead.
 */
export async function findAddOnHost(
  engine: ContainerEngine,
  options: { network: string; info: EngineInfo; setting: string },
): Promise<AddOnHost> {
  const { network, info, setting } = options;
  const { reachability, sharesHostNetwork } = info;
  const publishOn = reachability === 'container-address' ? await engine.networkGateway(network) : '127.0.0.1';
  const host = reachability === 'container-address' ? publishOn : DESKTOP_HOST;
  return { publishOn, host: setting === 'auto' ? host : setting, hostNetwork: sharesHostNetwork };
}

/** Anybody may check it against the local CA, under each of the names by which the host is reached. */
export function issueAddOnCertificate(
  authority: LocalAuthority,
  { host, publishOn }: AddOnHost,
  now: Date,
): Promise<KeyPair> {
  const names = [...new Set([host, publishOn, 'localhost', '127.0.0.1'])];
  return authority.issue({
    dnsNames: names.filter((name) => isIP(name) === 0),
    ipAddresses: names.filter((name) => isIP(name) !== 0),
    now,
    days: CERTIFICATE_DAYS,
  });
}

/** As long as a container may run; each start gets another one. */
const CERTIFICATE_DAYS = 3650;

const LETTERS = 'abcdefghijklmnopqrstuvwxyz0123456789';

/** For passwords and names that nobody may guess. */
export function randomSecret(length: number): string {
  return Array.from({ length }, () => LETTERS[randomInt(LETTERS.length)]).join('');
}
