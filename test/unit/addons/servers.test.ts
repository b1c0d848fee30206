import { mariadb } from '../../../src/addons/mariadb';
import { memcached } from '../../../src/addons/memcached';
import { MIB, type BackendSpec, type ContainerProvider } from '../../../src/addons/provider';
import { rabbitmq } from '../../../src/addons/rabbitmq';
import { NO_BACKEND, type AddOn } from '../../../src/domain/addon';

/** An add-on of this plan, whose secrets are as long as they are asked for. */
function backendOf(provider: ContainerProvider, planName: string): { addon: AddOn; spec: BackendSpec } {
  const plan = provider.plans.find(({ name }) => name === planName);
  if (plan === undefined) throw new Error(`no plan ${planName}`);
  const config = provider.newConfig({ plan, options: {}, secret: (length) => 'a'.repeat(length) });
  const addon = {
    service: provider.service,
    plan: planName,
    config,
    options: {},
    backend: NO_BACKEND,
  } as AddOn;
  return { addon, spec: provider.backend({ addon, plan }) };
}

function fileOf({ files }: BackendSpec, name: string): string {
  return files.find(({ path }) => path.endsWith(`/${name}`))?.content ?? '';
}

/** `max-connections` of `[section]\nmax-connections = 13`. */
function settingOf(text: string, name: string): string | undefined {
  return new RegExp(`^${name} = (.*)$`, 'm').exec(text)?.[1];
}

test.each([mariadb, memcached, rabbitmq].map((provider) => [provider.service, provider] as const))(
  '%s: a bigger plan costs, and may take, at least as much',
  (_service, provider) => {
    const { plans } = provider;
    plans.slice(1).forEach((plan, index) => {
      const smaller = plans[index]!;
      expect(plan.priceCents).toBeGreaterThan(smaller.priceCents);
      expect(plan.memoryBytes).toBeGreaterThan(smaller.memoryBytes);
      expect(plan.connections ?? 0).toBeGreaterThanOrEqual(smaller.connections ?? 0);
    });
  },
);

test.each(mariadb.plans.map((plan) => [plan.name, plan] as const))(
  'MariaDB %s is bounded by its plan, and commits to the disk',
  (name, plan) => {
    const { spec } = backendOf(mariadb, name);
    const settings = fileOf(spec, 'my.cnf');
    expect(settingOf(settings, 'innodb-flush-log-at-trx-commit')).toBe('1');
    expect(settingOf(settings, 'innodb-doublewrite')).toBe('ON');
    // The server needs some 80 MB besides.
    const poolMb = Number.parseInt(settingOf(settings, 'innodb-buffer-pool-size') ?? '', 10);
    expect(poolMb + 80).toBeLessThan(plan.memoryBytes / MIB);
    // A user who has used up his own leaves room for others to look after it.
    expect(Number(settingOf(settings, 'max-connections'))).toBeGreaterThan(plan.connections ?? Infinity);
    expect(spec.setup[0]?.files?.[0]?.content).toContain(`MAX_USER_CONNECTIONS ${plan.connections}`);
  },
);

test.each(memcached.plans.map((plan) => [plan.name, plan] as const))(
  'memcached %s keeps as much as its plan says, below what its container may take',
  (name, plan) => {
    const { spec } = backendOf(memcached, name);
    const sizeMb = name === 'dev' ? 25 : Number(name);
    expect(spec.command).toContain(`--memory-limit=${sizeMb}`);
    expect(spec.memoryBytes).toBe(plan.memoryBytes);
    expect(sizeMb).toBeLessThan(plan.memoryBytes / MIB);
    expect(spec.volumeTarget).toBeUndefined();
  },
);

test.each(rabbitmq.plans.map((plan) => [plan.name, plan] as const))(
  'RabbitMQ %s holds publishers back before its container is full',
  (name, plan) => {
    const { addon, spec } = backendOf(rabbitmq, name);
    const watermark = settingOf(fileOf(spec, 'rabbitmq.conf'), 'vm_memory_high_watermark.absolute');
    expect(watermark).toMatch(/^\d+MiB$/);
    // It counts 130 MB for itself when idle, and may need a good deal more than it counts for a moment.
    const megabytes = Number.parseInt(watermark ?? '', 10);
    expect(megabytes).toBeGreaterThan(160);
    expect(megabytes).toBeLessThan((plan.memoryBytes / MIB) * 0.7);
    const { user, password } = Object.values(addon.config.credentials)[0]!;
    expect(JSON.parse(fileOf(spec, 'definitions.json'))).toMatchObject({
      users: [{ name: user, password, tags: [] }],
      vhosts: [{ name: user }],
      parameters: [{ component: 'vhost-limits', value: { 'max-connections': plan.connections } }],
    });
  },
);
