import { DEFAULT_CREDENTIAL, defaultCredential } from '../domain/addon';
import { nodeServer } from './node-server';
import {
  aPlan,
  MIB,
  type AddOnPlan,
  type BackendInput,
  type BackendSpec,
  type ContainerProvider,
} from './provider';

const SMTP_PORT = 2525;
const WEB_PORT = 8080;
const CONFIG_DIR = '/etc/dynodock';
const CONFIG_FILE = `${CONFIG_DIR}/mail.json`;
const TLS_DIR = `${CONFIG_DIR}/tls`;
/** For a few messages of the largest size at a time, one of which is being read. */
const MEMORY_MB = 384;
const MAX_MESSAGE_MB = 10;
const MAX_CLIENTS = 10;

function mailPlan(
  service: string,
  name: string,
  humanName: string,
  priceCents: number,
  kept: { maxMessages: number; maxMb: number },
): AddOnPlan {
  return aPlan({
    name,
    humanName,
    description: `${service} ${humanName}`,
    priceCents,
    memoryBytes: MEMORY_MB * MIB,
    connections: MAX_CLIENTS,
    traits: kept,
  });
}

const SMALL = { maxMessages: 500, maxMb: 100 };
const LARGE = { maxMessages: 5000, maxMb: 1000 };

/**
 * E-mail services that are used over SMTP with what their config vars say, so that unmodified code reaches the catcher
 * (`images/addons/mail`) in their place. What they have besides SMTP is not there, and neither are the vars for it.
 */
function mailService(
  facts: Pick<ContainerProvider, 'service' | 'humanName' | 'attachmentName' | 'plans' | 'defaultPlan'> &
    Pick<ContainerProvider, 'newConfig' | 'configVars'>,
): ContainerProvider {
  return {
    kind: 'container',
    ...facts,
    namePrefix: facts.service,
    colourPrefix: facts.attachmentName,
    firstHasColour: false,
    multiple: true,
    sharable: true,
    cliPluginName: null,
    options: {
      starttls: {
        help: 'off: for clients that would not trust its certificate',
        check: (value) => {
          if (value !== 'on' && value !== 'off') throw new Error('not one of on, off');
        },
      },
    },
    page: {
      kind: 'served',
      port: 1,
      headers: (addon) => {
        const { user, password } = defaultCredential(addon);
        return { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` };
      },
    },
    image: () => ({ kind: 'recipe', name: 'mail' }),
    backend: (input) => backendOf(input, facts.humanName),
  };
}

export const mailgun = mailService({
  service: 'mailgun',
  humanName: 'Mailgun',
  attachmentName: 'MAILGUN',
  plans: [
    mailPlan('Mailgun', 'starter', 'Starter', 0, SMALL),
    mailPlan('Mailgun', 'basic', 'Basic', 3500, LARGE),
    mailPlan('Mailgun', 'growth', 'Growth', 8000, LARGE),
  ],
  defaultPlan: 'starter',
  newConfig: ({ secret }) => {
    // Nobody else's, wherever a message may go one day.
    const domain = `sandbox${secret(12)}.mailgun.test`;
    return {
      credentials: { [DEFAULT_CREDENTIAL]: { user: `postmaster@${domain}`, password: secret(32) } },
      values: { domain },
    };
  },
  configVars: ({ addon, credential, host, ports }) => ({
    SMTP_SERVER: host,
    SMTP_PORT: String(ports[0] ?? SMTP_PORT),
    SMTP_LOGIN: credential.user,
    SMTP_PASSWORD: credential.password,
    DOMAIN: addon.config.values['domain'] ?? '',
    INBOX_URL: inboxUrl(host, ports),
  }),
});

export const cloudmailin = mailService({
  service: 'cloudmailin',
  humanName: 'CloudMailin',
  attachmentName: 'CLOUDMAILIN',
  plans: [
    mailPlan('CloudMailin', 'developer', 'Developer', 0, SMALL),
    mailPlan('CloudMailin', 'starter', 'Starter', 900, LARGE),
    mailPlan('CloudMailin', 'standard', 'Standard', 4900, LARGE),
  ],
  defaultPlan: 'developer',
  newConfig: ({ secret }) => ({
    credentials: { [DEFAULT_CREDENTIAL]: { user: `u${secret(15)}`, password: secret(32) } },
    values: {},
  }),
  configVars: ({ addon, credential, host, ports }) => ({
    SMTP_URL: `smtp://${credential.user}:${credential.password}@${host}:${ports[0] ?? SMTP_PORT}${
      addon.options['starttls'] === 'off' ? '' : '?starttls=true'
    }`,
    INBOX_URL: inboxUrl(host, ports),
  }),
});

function inboxUrl(host: string, ports: readonly number[]): string {
  return `http://${host}:${ports[1] ?? WEB_PORT}`;
}

function backendOf({ addon, plan }: BackendInput, title: string): BackendSpec {
  const credential = defaultCredential(addon);
  const startTls = addon.options['starttls'] !== 'off';
  const settings = {
    login: credential.user,
    password: credential.password,
    title,
    folder: '/data',
    smtpPort: SMTP_PORT,
    webPort: WEB_PORT,
    tlsFolder: TLS_DIR,
    startTls,
    maxMessages: Number(plan.traits['maxMessages'] ?? SMALL.maxMessages),
    maxBytes: Number(plan.traits['maxMb'] ?? SMALL.maxMb) * MIB,
    maxMessageBytes: MAX_MESSAGE_MB * MIB,
    maxClients: MAX_CLIENTS,
  };
  return {
    command: nodeServer(CONFIG_FILE),
    env: {},
    user: 'dyno',
    ports: [SMTP_PORT, WEB_PORT],
    volumeTarget: '/data',
    memoryBytes: plan.memoryBytes,
    ...(startTls ? { certificateDir: TLS_DIR } : {}),
    files: [{ path: CONFIG_FILE, content: JSON.stringify(settings) }],
    stopTimeoutMs: 15_000,
    health: {
      argv: ['curl', '--fail', '--silent', '--output', '/dev/null', `http://127.0.0.1:${WEB_PORT}/health`],
    },
    setup: [],
  };
}
