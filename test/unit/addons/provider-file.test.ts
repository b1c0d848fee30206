import { parseProviderFile, ProviderFileError } from '../../../src/addons/provider-file';
import { NO_BACKEND, type AddOn } from '../../../src/domain/addon';

const GOOD = `
service: my-search
human_name: My Search
attachment_name: SEARCH
plans:
  - { name: small, memory_mb: 256, connections: 10 }
  - { name: large, memory_mb: 1024, price_cents: 500 }
options:
  mode: { choices: [fast, safe], default: safe }
image: my/search:1
user: search
command: [searchd, --config, /etc/search.conf, '--name={{name}}']
env: { MODE: '{{option.mode}}', HEAP: '{{memory_mb}}m' }
ports: [9200, 9300]
volume: /data
files:
  - path: /etc/search.conf
    content: |
      password = {{ password }}
health: { argv: [search-health] }
setup:
  - argv: [search-setup, /tmp/setup]
    files: [{ path: /tmp/setup, content: 'user {{user}} {{password}}' }]
config_vars:
  URL: https://{{user}}:{{password}}@{{host}}:{{port}}/{{id}}
  ADMIN_PORT: '{{port2}}'
`;

function anAddOn(more: Partial<AddOn> = {}): AddOn {
  const provider = parseProviderFile('search.yml', GOOD);
  const now = new Date();
  return {
    name: 'my-search-solid-1',
    service: 'my-search',
    plan: 'small',
    config: provider.newConfig({ plan: provider.plans[0]!, options: {}, secret: (n) => 's'.repeat(n) }),
    options: {},
    backend: NO_BACKEND,
    createdAt: now,
    ...more,
  } as AddOn;
}

describe('a file that says all that is needed', () => {
  const provider = parseProviderFile('search.yml', GOOD);
  const [plan] = provider.plans;

  test('makes a provider', () => {
    expect(provider).toMatchObject({
      kind: 'container',
      service: 'my-search',
      humanName: 'My Search',
      attachmentName: 'SEARCH',
      defaultPlan: 'small',
      multiple: true,
      sharable: true,
    });
    expect(plan).toMatchObject({
      name: 'small',
      memoryBytes: 256 * 1024 * 1024,
      connections: 10,
      priceCents: 0,
    });
    expect(provider.image({})).toEqual({ kind: 'registry', reference: 'my/search:1' });
  });

  test('fills in its placeholders, secrets in files alone', () => {
    const spec = provider.backend({ addon: anAddOn({ options: { mode: 'fast' } }), plan: plan! });
    expect(spec).toMatchObject({
      command: ['searchd', '--config', '/etc/search.conf', '--name=my-search-solid-1'],
      env: { MODE: 'fast', HEAP: '256m' },
      user: 'search',
      ports: [9200, 9300],
      volumeTarget: '/data',
      files: [{ path: '/etc/search.conf', content: `password = p${'s'.repeat(47)}\n` }],
    });
    expect(provider.backend({ addon: anAddOn(), plan: plan! }).env['MODE']).toBe('safe');
    const vars = provider.configVars({
      addon: anAddOn(),
      plan: plan!,
      credential: { user: 'u', password: 'p' },
      host: '10.0.0.1',
      ports: [20_000, 20_001],
    });
    expect(vars).toEqual({ URL: `https://u:p@10.0.0.1:20000/d${'s'.repeat(12)}`, ADMIN_PORT: '20001' });
  });

  test('takes only the choices of an option', () => {
    expect(() => provider.options['mode']?.check?.('slow')).toThrow('not one of fast, safe');
  });
});

describe('a file that is not right is refused with the reason', () => {
  test.each([
    ['', 'it must be object'],
    ['a: [', 'it is no YAML: '],
    [GOOD.replace('service: my-search', ''), "must have required property 'service'"],
    [GOOD.replace('memory_mb: 256', 'memory_mb: lots'), 'plans[0].memory_mb must be integer'],
    [`${GOOD}\nvolumes: /x`, 'there is no field volumes'],
    [`${GOOD}\ndefault_plan: huge`, 'default_plan: there is no plan huge'],
    [GOOD.replace('name: large', 'name: small'), 'plans: small is there twice'],
    [
      GOOD.replace('{{port2}}', '{{port3}}'),
      'config_vars.ADMIN_PORT: there is no {{port3}}; there are name,',
    ],
    [GOOD.replace('--name={{name}}', '{{password}}'), 'command: {{password}} may only stand in files'],
    [GOOD.replace("'{{memory_mb}}m'", "'{{password}}'"), 'env.HEAP: {{password}} may only stand in files'],
    [GOOD.replace('[search-health]', "[x, '{{password}}']"), 'health.argv: {{password}} may only'],
    [GOOD.replace('  URL:', '  url:'), 'config_vars: url is not of A-Z'],
    [GOOD.replace('SEARCH', 'search'), 'attachment_name must match pattern'],
  ])('%#: …%s', (text, reason) => {
    let error: unknown;
    try {
      parseProviderFile('search.yml', text);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(ProviderFileError);
    expect((error as ProviderFileError).message).toMatch(/^search\.yml: /);
    expect((error as ProviderFileError).reason).toContain(reason);
  });
});
