import { BUILT_IN_PROVIDERS } from '../../../src/addons/built-in';
import type { BackendCommand, BackendInput, ContainerProvider } from '../../../src/addons/provider';
import { DEFAULT_CREDENTIAL, NO_BACKEND, type AddOn } from '../../../src/domain/addon';
import { PORTS_EACH } from '../../../src/dyno-manager/addon-steps';

const PASSWORD = 'p0p0p0p0p0';

describe.each(BUILT_IN_PROVIDERS.map((provider) => [provider.service, provider] as const))(
  '%s',
  (service, provider) => {
    test('has a default plan, and plans of different names with bounds', () => {
      const names = provider.plans.map(({ name }) => name);
      expect(names).toContain(provider.defaultPlan);
      expect(new Set(names).size).toBe(names.length);
      expect(provider.plans.find(({ name }) => name === provider.defaultPlan)?.retired).toBe(false);
      for (const plan of provider.plans) expect(plan.memoryBytes).toBeGreaterThanOrEqual(0);
    });

    if (provider.kind !== 'container') return;
    const container: ContainerProvider = provider;

    test.each(container.plans.map((plan) => [plan.name, plan] as const))(
      '%s keeps secrets in files',
      (_name, plan) => {
        const made = container.newConfig({ plan, options: {}, secret: (length) => 'x'.repeat(length) });
        const credentials = { ...made.credentials };
        const own = credentials[DEFAULT_CREDENTIAL];
        if (own !== undefined) credentials[DEFAULT_CREDENTIAL] = { ...own, password: PASSWORD };
        const addon = {
      name: 'a', service, plan: plan.name, config: { ...made, credentials }, options: {}, backend: NO_BACKEND,
    } as AddOn; // prettier-ignore
        const spec = container.backend({ addon, plan });
        const { files, setup, health, ...shown } = spec;
        const commands = [
          health,
          ...setup,
          ...Object.values(container.commands ?? {}).map((make: (input: BackendInput) => BackendCommand) =>
            make({ addon, plan }),
          ),
        ];
        expect(JSON.stringify([shown, commands.map(({ argv, env }) => [argv, env])])).not.toContain(PASSWORD);
        const written = JSON.stringify([files, commands.map((command) => command.files)]);
        if (own !== undefined) expect(written).toContain(PASSWORD);
        expect(spec.ports.length).toBeLessThanOrEqual(PORTS_EACH);
        const vars = container.configVars({
          addon,
          plan,
          credential: { user: 'u', password: PASSWORD },
          host: '198.19.0.1',
          ports: spec.ports.map((_port, index) => 20_000 + index),
        });
        expect(Object.values(vars).join(' ')).toContain('198.19.0.1');
        for (const suffix of Object.keys(vars)) expect(suffix).toMatch(/^[A-Z0-9_]*$/);
      },
    );

    if (container.listensAsTold !== true) return;
    test('listens where it is told to, and nowhere else', () => {
      const plan = container.plans[0]!;
      const config = container.newConfig({ plan, options: {}, secret: (length) => 'x'.repeat(length) });
      const addon = {
        name: 'a',
        service,
        plan: plan.name,
        config,
        options: {},
        backend: NO_BACKEND,
      } as AddOn;
      const ports = container.backend({ addon, plan }).ports.map((_port, index) => 21_000 + index);
      const spec = container.backend({ addon, plan, listen: { address: '198.19.0.1', ports } });
      const said = JSON.stringify([spec.command, spec.env, spec.files]);
      expect(said).toContain('198.19.0.1');
      for (const port of ports) expect(said).toContain(String(port));
      for (const port of spec.ports) expect(said).not.toContain(String(port));
    });
  },
);
