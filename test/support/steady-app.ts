import { performance } from 'node:perf_hooks';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { dynoName, type Dyno } from '../../src/domain/dyno';
import type { Event } from '../../src/domain/event';
import type { AppId } from '../../src/domain/ids';
import {
  DYNO_LABEL,
  DYNO_NAME_LABEL,
  INSTALLATION_LABEL,
  RELEASE_LABEL,
  ROLE_LABEL,
} from '../../src/engine/labels';
import { Store } from '../../src/store/store';
import { eventually, execute, type CommandResult, type TestPlatform } from './platform';
import { pageOf, sampleApp } from './sample-app';

export interface Container {
  id: string;
  state: string;
  role: string;
  dyno: string;
  name: string;
  release: string;
}

export interface Release {
  id: string;
  version: number;
  description: string;
  current: boolean;
  slug: { id: string } | null;
}

interface FormationEntry {
  type: string;
  quantity: number;
}

export interface SteadyAppOptions {
  name: string;
  /** Sandboxes that the daemon keeps ready (DYNODOCK_READY_SANDBOXES). */
  pool: number;
  /** The engine as it is, past whatever stands between it and the daemon. undefined = the default one. */
  dockerHost?: string;
}

/** An app of an installation in trouble, and whether it is what its user asked for: by API, store and engine alike. */
export class SteadyApp {
  readonly #platform: TestPlatform;
  readonly #options: SteadyAppOptions;
  #id: AppId | undefined;
  #installationId = '';
  /** Of its deploys. */
  slugs: string[] = [];

  constructor(platform: TestPlatform, options: SteadyAppOptions) {
    this.#platform = platform;
    this.#options = options;
  }

  get name(): string {
    return this.#options.name;
  }

  get id(): AppId {
    if (this.#id === undefined) throw new Error('the app has not been created');
    return this.#id;
  }

  get installationId(): string {
    return this.#installationId;
  }

  /** Makes it, and deploys each of these pages. */
  async create(pages: readonly string[]): Promise<void> {
    this.#installationId = this.#platform.installationId ?? '';
    const { body } = await this.#platform.api('POST', '/apps', { name: this.name });
    this.#id = (body as { id: AppId }).id;
    const folder = await this.#platform.repository(sampleApp());
    for (const page of pages) {
      await this.#platform.commit(folder, page, pageOf(page));
      const push = await this.#platform.push(folder, this.name);
      if (push.exitCode !== 0) throw new Error(push.stderr);
    }
    this.slugs = (await this.releases()).flatMap(({ slug }) => (slug === null ? [] : [slug.id]));
  }

  docker(...args: string[]): Promise<CommandResult> {
    const { dockerHost } = this.#options;
    return execute('docker', [...(dockerHost === undefined ? [] : ['--host', dockerHost]), ...args]);
  }

  /** Those of the installation, of dynos and sandboxes, in any state. */
  async containers(): Promise<Container[]> {
    const labels = [ROLE_LABEL, DYNO_LABEL, DYNO_NAME_LABEL, RELEASE_LABEL];
    const format = ['{{.ID}}', '{{.State}}', ...labels.map((label) => `{{.Label "${label}"}}`)];
    const filter = `label=${INSTALLATION_LABEL}=${this.#installationId}`;
    const listing = ['ps', '--all', '--no-trunc', '--filter', filter, '--format', format.join('|')];
    const { stdout } = await this.docker(...listing);
    return stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => {
        const [id = '', state = '', role = '', dyno = '', name = '', release = ''] = line.split('|');
        return { id, state, role, dyno, name, release };
      });
  }

  dynos(): Dyno[] {
    return this.#read((store) => store.dynos.of(this.id));
  }

  /** All of them, oldest first. */
  events(): Event[] {
    return this.#read((store) => store.events.of(this.id, 1_000_000));
  }

  releases(): Promise<Release[]> {
    return this.get(`/apps/${this.name}/releases`);
  }

  formation(): Promise<FormationEntry[]> {
    return this.get(`/apps/${this.name}/formation`);
  }

  async get<T>(apiPath: string): Promise<T> {
    const { status, body } = await this.#platform.api('GET', apiPath);
    expect([apiPath, status]).toEqual([apiPath, 200]);
    return body;
  }

  /** Formation × current release ↔ dynos that are up ↔ running containers; undefined = so it is, else what is not. */
  async difference(): Promise<unknown> {
    const current = (await this.releases()).find((candidate) => candidate.current)?.version;
    const wanted = (await this.formation())
      .flatMap(({ type, quantity }) =>
        Array.from({ length: quantity }, (_, index) => `${type}.${index + 1} up v${current}`),
      )
      .sort();
    const rows = this.dynos();
    const found = await this.containers();
    const dynos = rows.map((dyno) => `${dynoName(dyno)} ${dyno.state} v${dyno.releaseVersion}`).sort();
    const running = found
      .filter(({ role }) => role === 'dyno')
      .map(({ name, state, release }) => `${name} ${state === 'running' ? 'up' : state} ${release}`)
      .sort();
    const withoutRow = found.filter(
      ({ role, dyno }) => role === 'dyno' && !rows.some(({ id }) => id === dyno),
    );
    const sandboxes = found.filter(({ role }) => role === 'sandbox').map(({ id }) => id);
    const taken = rows.flatMap(({ sandbox }) => (sandbox === null ? [] : [sandbox]));
    const well =
      JSON.stringify([wanted, wanted]) === JSON.stringify([dynos, running]) &&
      withoutRow.length === 0 &&
      sandboxes.length <= this.#options.pool + taken.length &&
      taken.every((id) => found.some((container) => container.id === id && container.state === 'running')) &&
      new Set(taken).size === taken.length &&
      rows.every(({ type, endpoint }) => type !== 'web' || endpoint !== null);
    if (well) return undefined;
    return { wanted, dynos, running, withoutRow, sandboxes: sandboxes.length, taken: taken.length };
  }

  /** Waits until it is what it should be; `meanwhile` is called now and then. */
  async expectConverged(
    withinMs: number,
    meanwhile: () => Promise<void> = () => Promise.resolve(),
  ): Promise<void> {
    const deadline = performance.now() + withinMs;
    for (;;) {
      const left = await this.difference();
      if (left === undefined) return;
      if (performance.now() > deadline) expect(left).toBeUndefined();
      await meanwhile();
      await delay(200);
    }
  }

  /** Waits until no sandbox is being made any more. */
  async untilPoolIsFull(): Promise<void> {
    await eventually('a full pool', async () => {
      const running = (await this.containers()).filter(
        ({ role, state }) => role === 'sandbox' && state === 'running',
      );
      const taken = this.dynos().filter(({ sandbox }) => sandbox !== null);
      return running.length === this.#options.pool + taken.length;
    });
  }

  #read<T>(query: (store: Store) => T): T {
    const store = Store.open(path.join(this.#platform.data, 'dynodock.sqlite'));
    try {
      return query(store);
    } finally {
      store.close();
    }
  }
}
