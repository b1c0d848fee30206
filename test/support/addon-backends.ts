import { ProviderRegistry } from '../../src/addons/registry';
import { BUILT_IN_PROVIDERS } from '../../src/addons/built-in';
import type { AddOnProvider } from '../../src/addons/provider';
import { AddOnBackends } from '../../src/dyno-manager/addon-backends';
import type { AddOnSleepPolicy } from '../../src/domain/addon-sleep';
import type { AddOnId } from '../../src/domain/ids';
import type { Clock } from '../../src/lib/clock';
import { silentLogger } from '../../src/lib/logger';
import { Logplex } from '../../src/logplex/logplex';
import type { Provisioning } from '../../src/platform/addons/provisioning';
import type { Store } from '../../src/store/store';
import { FakeEngine } from './fake-engine';

export const ADDON_HOST = '198.19.0.1';
export const ADDON_NETWORK = 'addon-network';
export const INSTALLATION = '11111111-2222-4333-8444-555555555555';

export interface TestBackendsOptions {
  store: Store;
  clock: Clock;
  /** Asked for when something is ready, which is after it was made. */
  addons: () => {
    provisioning: Pick<Provisioning, 'complete' | 'fail'> & Partial<Pick<Provisioning, 'progress'>>;
  };
  /** Default: it is provisioned. */
  onReady?: (id: AddOnId) => void;
  providers?: readonly AddOnProvider[];
  random?: () => number;
  /** Do providers that listen as told run in the host's network? Default: not. */
  hostNetwork?: boolean;
  /** One that was used before. */
  engine?: FakeEngine;
  onServing?: (id: AddOnId) => void;
  /** Default: one that nobody reads. */
  logplex?: Logplex;
  /** Default: add-ons never sleep. */
  sleep?: AddOnSleepPolicy;
}

/** The add-ons' reconciler on an engine in memory; images come out of nothing. */
export class TestBackends {
  readonly engine: FakeEngine;
  readonly providers: ProviderRegistry;
  readonly backends: AddOnBackends;
  /** What is to go wrong when an image is made. */
  imageError: Error | undefined;
  /** Does the engine lack all images, until they are made? */
  imageIsMissing = false;
  /** What making one waits for. */
  imageMade: Promise<void> = Promise.resolve();

  constructor(options: TestBackendsOptions) {
    const { store, clock, addons } = options;
    this.engine = options.engine ?? new FakeEngine(clock);
    this.providers = new ProviderRegistry(options.providers ?? BUILT_IN_PROVIDERS);
    this.backends = new AddOnBackends({
      store,
      engine: this.engine,
      providers: this.providers,
      images: {
        reference: (image) => (image.kind === 'recipe' ? `dynodock/addon-${image.name}:1` : image.reference),
        isThere: async () => {
          // Fails when the engine is away.
          await this.engine.inspectImage('');
          return !this.imageIsMissing;
        },
        ensure: async (image, _signal, onLine) => {
          onLine('Installing it');
          await this.imageMade;
          if (this.imageError !== undefined) throw this.imageError;
          this.imageIsMissing = false;
          this.engine.addImage(image.kind === 'recipe' ? `dynodock/addon-${image.name}:1` : image.reference);
        },
      },
      clock,
      logger: silentLogger,
      installationId: INSTALLATION,
      network: ADDON_NETWORK,
      publishOn: ADDON_HOST,
      hostNetwork: options.hostNetwork ?? false,
      isPortFree: async (address, port) => !this.engine.takenPorts.has(`${address}:${port}`),
      ports: { first: 20_000, count: 400 },
      random: options.random ?? Math.random,
      issueCertificate: async () => ({ certificateChain: 'a certificate', privateKey: 'a key' }),
      onReady: options.onReady ?? ((id) => addons().provisioning.complete(id)),
      onFailed: (id, reason) => addons().provisioning.fail(id, reason),
      logplex: options.logplex ?? new Logplex(clock),
      onProgress: (id, line) => addons().provisioning.progress?.(id, line),
      sleep: options.sleep ?? { depth: 'off', lingerMs: 0 },
      onServing: options.onServing ?? (() => undefined),
      concurrency: 4,
    });
  }

  async start(): Promise<void> {
    await this.engine.ensureNetwork({ name: ADDON_NETWORK, labels: {}, interContainerTraffic: false });
    this.backends.start();
  }
}
