import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import Ajv, { type ErrorObject } from 'ajv-draft-04';
import { parse } from 'yaml';
import { DEFAULT_CREDENTIAL, type AddOn } from '../domain/addon';
import { aPlan, MIB, type AddOnPlan, type BackendCommand, type ContainerProvider } from './provider';
import { fillTemplate, placeholdersOf } from './template';

/** A file that can't be used, and why; the others are. */
export class ProviderFileError extends Error {
  override readonly name = 'ProviderFileError';
  constructor(
    readonly file: string,
    readonly reason: string,
    options?: ErrorOptions,
  ) {
    super(`${file}: ${reason}`, options);
  }
}

interface CommandYaml {
  argv: string[];
  user?: string;
  env?: Record<string, string>;
  files?: FileYaml[];
}
interface FileYaml {
  path: string;
  content: string;
}
interface PlanYaml {
  name: string;
  human_name?: string;
  description?: string;
  price_cents?: number;
  memory_mb: number;
  connections?: number;
  retired?: boolean;
}
interface ProviderYaml {
  service: string;
  human_name?: string;
  name_prefix?: string;
  attachment_name: string;
  plans: PlanYaml[];
  default_plan?: string;
  multiple?: boolean;
  sharable?: boolean;
  options?: Record<string, { help?: string; choices?: string[]; default?: string }>;
  user_name?: string;
  password_length?: number;
  image: string;
  user?: string;
  command: string[];
  env?: Record<string, string>;
  ports: number[];
  volume?: string;
  files?: FileYaml[];
  tls_dir?: string;
  stop_signal?: string;
  stop_timeout_seconds?: number;
  health: CommandYaml;
  setup?: CommandYaml[];
  config_vars: Record<string, string>;
  page_port?: number;
  commands?: { backup?: CommandYaml; restore?: CommandYaml; metrics?: CommandYaml };
}

const TEXT = { type: 'string', minLength: 1 };
const ABSOLUTE = { type: 'string', pattern: '^/[^\\0]+$' };
const TEXTS = { type: 'object', additionalProperties: { type: 'string' } };
const FILES = {
  type: 'array',
  items: {
    type: 'object',
    properties: { path: ABSOLUTE, content: { type: 'string' } },
    required: ['path', 'content'],
    additionalProperties: false,
  },
};
const COMMAND = {
  type: 'object',
  properties: {
    argv: { type: 'array', items: { type: 'string' }, minItems: 1 },
    user: TEXT,
    env: TEXTS,
    files: FILES,
  },
  required: ['argv'],
  additionalProperties: false,
};
const SCHEMA = {
  type: 'object',
  properties: {
    service: { type: 'string', pattern: '^[a-z][a-z0-9-]*$' },
    human_name: TEXT,
    name_prefix: { type: 'string', pattern: '^[a-z][a-z0-9-]{0,29}$' },
    attachment_name: { type: 'string', pattern: '^[A-Z][A-Z0-9_]*$' },
    plans: {
      type: 'array',
      minItems: 1,
      items: {
        type: 'object',
        properties: {
          name: { type: 'string', pattern: '^[a-z0-9][a-z0-9-]*$' },
          human_name: TEXT,
          description: TEXT,
          price_cents: { type: 'integer', minimum: 0 },
          memory_mb: { type: 'integer', minimum: 8 },
          connections: { type: 'integer', minimum: 1 },
          retired: { type: 'boolean' },
        },
        required: ['name', 'memory_mb'],
        additionalProperties: false,
      },
    },
    default_plan: TEXT,
    multiple: { type: 'boolean' },
    sharable: { type: 'boolean' },
    options: {
      type: 'object',
      additionalProperties: {
        type: 'object',
        properties: {
          help: TEXT,
          choices: { type: 'array', items: TEXT, minItems: 1 },
          default: { type: 'string' },
        },
        additionalProperties: false,
      },
    },
    user_name: TEXT,
    password_length: { type: 'integer', minimum: 8, maximum: 256 },
    image: TEXT,
    user: TEXT,
    command: { type: 'array', items: { type: 'string' }, minItems: 1 },
    env: TEXTS,
    ports: {
      type: 'array',
      items: { type: 'integer', minimum: 1, maximum: 65535 },
      minItems: 1,
      maxItems: 4,
    },
    volume: ABSOLUTE,
    files: FILES,
    tls_dir: ABSOLUTE,
    stop_signal: { type: 'string', pattern: '^SIG[A-Z0-9]+$' },
    stop_timeout_seconds: { type: 'integer', minimum: 1, maximum: 600 },
    health: COMMAND,
    setup: { type: 'array', items: COMMAND },
    config_vars: { type: 'object', minProperties: 1, additionalProperties: { type: 'string' } },
    page_port: { type: 'integer' },
    commands: {
      type: 'object',
      properties: { backup: COMMAND, restore: COMMAND, metrics: COMMAND },
      additionalProperties: false,
    },
  },
  required: ['service', 'attachment_name', 'plans', 'image', 'command', 'ports', 'health', 'config_vars'],
  additionalProperties: false,
};

const validate = new Ajv({ strict: false }).compile<ProviderYaml>(SCHEMA);

/** All of a folder, in the order of their names; `problems` says which could not be used. */
export async function readProviderFiles(
  folder: string,
): Promise<{ providers: ContainerProvider[]; problems: ProviderFileError[] }> {
  const names = (await readdir(folder)).filter((name) => /\.ya?ml$/.test(name)).sort();
  const providers: ContainerProvider[] = [];
  const problems: ProviderFileError[] = [];
  for (const name of names) {
    try {
      const provider = parseProviderFile(name, await readFile(path.join(folder, name), 'utf8'));
      const other = providers.find(({ service }) => service === provider.service);
      if (other !== undefined) {
        throw new ProviderFileError(name, `another file has the service ${provider.service} as well`);
      }
      providers.push(provider);
    } catch (error) {
      problems.push(
        error instanceof ProviderFileError
          ? error
          : new ProviderFileError(name, 'it cannot be read', { cause: error }),
      );
    }
  }
  return { providers, problems };
}

/** Throws ProviderFileError. */
export function parseProviderFile(file: string, text: string): ContainerProvider {
  let content: unknown;
  try {
    content = parse(text);
  } catch (error) {
    const [line] = (error instanceof Error ? error.message : String(error)).split('\n');
    throw new ProviderFileError(file, `it is no YAML: ${line ?? ''}`, { cause: error });
  }
  if (!validate(content)) throw new ProviderFileError(file, describeSchemaError(validate.errors?.[0]));
  const problem = checkMeaning(content);
  if (problem !== undefined) throw new ProviderFileError(file, problem);
  return toProvider(content);
}

function toProvider(yaml: ProviderYaml): ContainerProvider {
  const plans = yaml.plans.map(toPlan);
  return {
    kind: 'container',
    service: yaml.service,
    humanName: yaml.human_name ?? yaml.service,
    namePrefix: yaml.name_prefix ?? yaml.service.slice(0, 30),
    attachmentName: yaml.attachment_name,
    colourPrefix: `HEROKU_${yaml.attachment_name}`,
    firstHasColour: false,
    plans,
    defaultPlan: yaml.default_plan ?? plans[0]?.name ?? '',
    multiple: yaml.multiple ?? true,
    sharable: yaml.sharable ?? true,
    cliPluginName: null,
    ...(yaml.page_port === undefined
      ? {}
      : { page: { kind: 'served', port: yaml.ports.indexOf(yaml.page_port) } }),
    options: Object.fromEntries(
      Object.entries(yaml.options ?? {}).map(([name, { help, choices }]) => [
        name,
        {
          help: help ?? name,
          ...(choices === undefined
            ? {}
            : {
                check: (value: string) => {
                  if (!choices.includes(value)) throw new Error(`not one of ${choices.join(', ')}`);
                },
              }),
        },
      ]),
    ),
    newConfig: ({ secret }) => ({
      credentials: {
        [DEFAULT_CREDENTIAL]: {
          user: yaml.user_name ?? `u${secret(12)}`,
          password: `p${secret((yaml.password_length ?? 48) - 1)}`,
        },
      },
      // One more to name a database, a bucket or a virtual host by.
      values: { id: `d${secret(12)}` },
    }),
    configVars: ({ addon, plan, credential, host, ports }) => {
      const values = {
        ...factsOf(yaml, addon, plan),
        ...secretsOf(addon),
        user: credential.user,
        password: credential.password,
        host,
        ...portValues(ports),
      };
      return Object.fromEntries(
        Object.entries(yaml.config_vars).map(([suffix, text]) => [suffix, fillTemplate(text, values)]),
      );
    },
    image: () => ({ kind: 'registry', reference: yaml.image }),
    backend: ({ addon, plan }) => {
      const facts = factsOf(yaml, addon, plan);
      const all = { ...facts, ...secretsOf(addon) };
      return {
        command: yaml.command.map((text) => fillTemplate(text, facts)),
        env: mapValues(yaml.env ?? {}, facts),
        ...(yaml.user === undefined ? {} : { user: yaml.user }),
        ports: yaml.ports,
        ...(yaml.volume === undefined ? {} : { volumeTarget: yaml.volume }),
        memoryBytes: plan.memoryBytes,
        files: toFiles(yaml.files ?? [], all),
        ...(yaml.tls_dir === undefined ? {} : { certificateDir: yaml.tls_dir }),
        ...(yaml.stop_signal === undefined ? {} : { stopSignal: yaml.stop_signal }),
        stopTimeoutMs: (yaml.stop_timeout_seconds ?? 30) * 1000,
        health: toCommand(yaml.health, facts, all),
        setup: (yaml.setup ?? []).map((command) => toCommand(command, facts, all)),
      };
    },
    commands: Object.fromEntries(
      Object.entries(yaml.commands ?? {}).map(([name, command]) => [
        name,
        ({ addon, plan }: { addon: AddOn; plan: AddOnPlan }) => {
          const facts = factsOf(yaml, addon, plan);
          return toCommand(command, facts, { ...facts, ...secretsOf(addon) });
        },
      ]),
    ),
  };
}

function toPlan(plan: PlanYaml): AddOnPlan {
  return aPlan({
    name: plan.name,
    humanName: plan.human_name ?? plan.name,
    ...(plan.description === undefined ? {} : { description: plan.description }),
    priceCents: plan.price_cents ?? 0,
    memoryBytes: plan.memory_mb * MIB,
    connections: plan.connections ?? null,
    retired: plan.retired ?? false,
  });
}

/** What may stand anywhere. */
function factsOf(yaml: ProviderYaml, addon: AddOn, plan: AddOnPlan): Record<string, string> {
  return {
    name: addon.name,
    plan: plan.name,
    id: addon.config.values['id'] ?? '',
    user: addon.config.credentials[DEFAULT_CREDENTIAL]?.user ?? '',
    memory_mb: String(Math.round(plan.memoryBytes / MIB)),
    connections: plan.connections === null ? '' : String(plan.connections),
    ...Object.fromEntries(
      Object.entries(yaml.options ?? {}).map(([name, option]) => [
        `option.${name}`,
        addon.options[name] ?? option.default ?? '',
      ]),
    ),
  };
}

/** What may stand in files and config vars only. */
function secretsOf(addon: AddOn): Record<string, string> {
  return { password: addon.config.credentials[DEFAULT_CREDENTIAL]?.password ?? '' };
}

/** `port`, `port2`, `port3` … */
function portValues(ports: readonly number[]): Record<string, string> {
  return Object.fromEntries(ports.map((port, index) => [portName(index), String(port)]));
}
function portName(index: number): string {
  return index === 0 ? 'port' : `port${index + 1}`;
}

function toFiles(
  files: readonly FileYaml[],
  values: Record<string, string>,
): { path: string; content: string }[] {
  return files.map(({ path: target, content }) => ({ path: target, content: fillTemplate(content, values) }));
}

function toCommand(
  { argv, user, env, files }: CommandYaml,
  facts: Record<string, string>,
  all: Record<string, string>,
): BackendCommand {
  return {
    argv: argv.map((text) => fillTemplate(text, facts)),
    ...(user === undefined ? {} : { user }),
    ...(env === undefined ? {} : { env: mapValues(env, facts) }),
    ...(files === undefined ? {} : { files: toFiles(files, all) }),
  };
}

function mapValues(texts: Record<string, string>, values: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(texts).map(([key, text]) => [key, fillTemplate(text, values)]));
}

/** What a schema can't say; undefined if all is well. */
function checkMeaning(yaml: ProviderYaml): string | undefined {
  const names = yaml.plans.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) return `plans: ${twice} is there twice`;
  if (yaml.default_plan !== undefined && !names.includes(yaml.default_plan)) {
    return `default_plan: there is no plan ${yaml.default_plan}`;
  }
  if (yaml.page_port !== undefined && !yaml.ports.includes(yaml.page_port)) {
    return `page_port: ${yaml.page_port} is not among the ports`;
  }
  const suffix = Object.keys(yaml.config_vars).find((key) => !/^[A-Z0-9_]*$/.test(key));
  if (suffix !== undefined) return `config_vars: ${suffix} is not of A-Z, 0-9 and _`;
  const facts = [
    'name', 'plan', 'id', 'user', 'memory_mb', 'connections',
    ...Object.keys(yaml.options ?? {}).map((name) => `option.${name}`),
  ]; // prettier-ignore
  const inFiles = [...facts, 'password'];
  const inVars = [...inFiles, 'host', ...yaml.ports.map((_port, index) => portName(index))];
  const commands = { health: yaml.health, ...yaml.commands };
  const places: [where: string, text: string, allowed: readonly string[]][] = [
    ...Object.entries(yaml.config_vars).map(([key, text]): [string, string, string[]] => [
      `config_vars.${key}`,
      text,
      inVars,
    ]),
    ...yaml.command.map((text): [string, string, string[]] => ['command', text, facts]),
    ...Object.entries(yaml.env ?? {}).map(([key, text]): [string, string, string[]] => [
      `env.${key}`,
      text,
      facts,
    ]),
    ...(yaml.files ?? []).map(({ path: target, content }): [string, string, string[]] => [
      `files (${target})`,
      content,
      inFiles,
    ]),
    ...[
      ...Object.entries(commands),
      ...(yaml.setup ?? []).map((command) => ['setup', command] as const),
    ].flatMap(([where, command]): [string, string, string[]][] => [
      ...command.argv.map((text): [string, string, string[]] => [`${where}.argv`, text, facts]),
      ...Object.values(command.env ?? {}).map((text): [string, string, string[]] => [
        `${where}.env`,
        text,
        facts,
      ]),
      ...(command.files ?? []).map(({ content }): [string, string, string[]] => [
        `${where}.files`,
        content,
        inFiles,
      ]),
    ]),
  ];
  for (const [where, text, allowed] of places) {
    for (const name of placeholdersOf(text)) {
      if (allowed.includes(name)) continue;
      return name === 'password'
        ? `${where}: {{password}} may only stand in files and config_vars, since arguments and environments are shown to others`
        : `${where}: there is no {{${name}}}; there are ${allowed.join(', ')}`;
    }
  }
  return undefined;
}

/** `plans[0].memory_mb must be integer` */
export function describeSchemaError(error: ErrorObject | undefined): string {
  if (error === undefined) return 'it is not understood';
  const where = error.instancePath
    .split('/')
    .slice(1)
    .reduce(
      (sum, part) => (/^\d+$/.test(part) ? `${sum}[${part}]` : sum === '' ? part : `${sum}.${part}`),
      '',
    );
  if (error.keyword === 'additionalProperties') {
    const { additionalProperty } = error.params as { additionalProperty?: string };
    return `${where === '' ? '' : `${where}: `}there is no field ${additionalProperty ?? ''}`;
  }
  return `${where === '' ? 'it' : where} ${error.message ?? 'is not understood'}`;
}
