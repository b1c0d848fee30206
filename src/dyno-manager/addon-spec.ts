import { createHash } from 'node:crypto';
import type { BackendFile, BackendSpec } from '../addons/provider';
import type { AddOn } from '../domain/addon';
import type { ContainerSpec } from '../engine/engine';
import {
  ADDON_LABEL,
  ADDON_NAME_LABEL,
  ADDON_SPEC_LABEL,
  APP_LABEL,
  APP_NAME_LABEL,
  ownedLabels,
} from '../engine/labels';

export interface BackendContainerInput {
  installationId: string;
  network: string;
  /** Where the host publishes its ports. */
  publishOn: string;
  addon: AddOn;
  spec: BackendSpec;
  image: string;
  /** It listens on the host by itself, so that nothing is to be published. */
  inHostNetwork: boolean;
}

const PROCESSES = 512;

/** The container of an add-on that has a port. Its label says what it was made of. */
export function backendContainer(input: BackendContainerInput): ContainerSpec {
  const { installationId, addon, spec, image, network, inHostNetwork } = input;
  const bare = {
    image,
    command: spec.command,
    env: spec.env,
    ...(spec.user === undefined ? {} : { user: spec.user }),
    ...(inHostNetwork
      ? { network: 'host' }
      : {
          network,
          publish: hostPorts(addon, spec).map((hostPort, index) => ({
            containerPort: spec.ports[index] ?? 0,
            hostAddress: input.publishOn,
            hostPort,
          })),
        }),
    limits: { memoryBytes: spec.memoryBytes, pids: PROCESSES },
    mounts:
      spec.volumeTarget === undefined
        ? []
        : [
            {
              kind: 'volume' as const,
              source: volumeName(installationId, addon),
              target: spec.volumeTarget,
              readOnly: false,
            },
          ],
    ...(spec.stopSignal === undefined ? {} : { stopSignal: spec.stopSignal }),
    init: true,
  };
  return {
    ...bare,
    name: containerName(installationId, addon),
    hostname: addon.name.slice(0, 63),
    labels: ownedLabels(installationId, 'add-on', {
      [ADDON_LABEL]: addon.id,
      [ADDON_NAME_LABEL]: addon.name,
      [APP_LABEL]: addon.appId,
      [APP_NAME_LABEL]: addon.appName,
      [ADDON_SPEC_LABEL]: hashOf([bare, spec.files]),
    }),
  };
}

/** By the id, since names can be changed and given again. */
export function containerName(installationId: string, { id }: Pick<AddOn, 'id'>): string {
  return `dynodock-${installationId.slice(0, 8)}-add-on-${id}`;
}

/** Holds what the add-on is for; only a purge removes it. */
export function volumeName(installationId: string, { id }: Pick<AddOn, 'id'>): string {
  return `dynodock-${installationId.slice(0, 8)}-add-on-${id}`;
}

/** One port of the host for each port inside. */
export function hostPorts(
  { backend }: Pick<AddOn, 'backend'>,
  { ports }: Pick<BackendSpec, 'ports'>,
): number[] {
  const first = backend.port;
  return first === null ? [] : ports.map((_port, index) => first + index);
}

function hashOf(content: [Omit<ContainerSpec, 'name' | 'labels'>, readonly BackendFile[]]): string {
  return createHash('sha256').update(JSON.stringify(content)).digest('hex').slice(0, 16);
}
