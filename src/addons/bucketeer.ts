import { DEFAULT_CREDENTIAL, defaultCredential, type AddOn } from '../domain/addon';
import { nodeServer } from './node-server';
import {
  aPlan,
  MIB,
  type AddOnPlan,
  type BackendInput,
  type BackendSpec,
  type ContainerProvider,
} from './provider';

const PORT = 9000;
const CONFIG_FILE = '/etc/dynodock/bucket.json';
/** What clients take for granted where nobody has told them. */
const REGION = 'us-east-1';
const MEMORY_MB = 256;

/** Bucketeer's; here they all are as large as the disk. */
const PLANS: readonly AddOnPlan[] = [
  bucketPlan('hobbyist', 'Hobbyist', 500),
  bucketPlan('micro', 'Micro', 3000),
  bucketPlan('standard', 'Standard', 6000),
  bucketPlan('pro', 'Pro', 15_000),
  bucketPlan('business', 'Business', 35_000),
];

function bucketPlan(name: string, humanName: string, priceCents: number): AddOnPlan {
  return aPlan({
    name,
    humanName,
    description: `Bucketeer ${humanName}`,
    priceCents,
    memoryBytes: MEMORY_MB * MIB,
  });
}

/** An S3 bucket with a server of its own: `images/addons/bucketeer`. */
export const bucketeer: ContainerProvider = {
  kind: 'container',
  service: 'bucketeer',
  humanName: 'Bucketeer',
  namePrefix: 'bucketeer',
  attachmentName: 'BUCKETEER',
  colourPrefix: 'BUCKETEER',
  firstHasColour: false,
  plans: PLANS,
  defaultPlan: 'hobbyist',
  multiple: true,
  sharable: true,
  cliPluginName: null,
  options: {
    'aws-endpoint': {
      help: 'off: without the config var AWS_ENDPOINT_URL_S3',
      check: (value) => {
        if (value !== 'on' && value !== 'off') throw new Error('not one of on, off');
      },
    },
  },
  newConfig: ({ secret }) => ({
    // As long as those of AWS, of the same letters.
    credentials: {
      [DEFAULT_CREDENTIAL]: { user: `AKIA${secret(16).toUpperCase()}`, password: secret(40) },
    },
    values: { bucket: `bucketeer-${secret(12)}` },
  }),
  configVars: ({ addon, credential, host, ports }) => ({
    AWS_ACCESS_KEY_ID: credential.user,
    AWS_SECRET_ACCESS_KEY: credential.password,
    AWS_REGION: REGION,
    BUCKET_NAME: bucketOf(addon),
    ENDPOINT_URL: endpoint(host, ports),
  }),
  // Where AWS's SDKs and tools look for another server than Amazon's (AWS SDKs and Tools Reference Guide,
  // "Service-specific endpoints").
  sharedVars: ({ addon, host, ports }) =>
    addon.options['aws-endpoint'] === 'off' ? {} : { AWS_ENDPOINT_URL_S3: endpoint(host, ports) },
  image: () => ({ kind: 'recipe', name: 'bucketeer' }),
  backend: backendOf,
};

function bucketOf(addon: AddOn): string {
  const { bucket } = addon.config.values;
  if (bucket === undefined) throw new Error('a Bucketeer add-on without a bucket');
  return bucket;
}

/** On the bridge's gateway, which nobody from outside reaches: without TLS. */
function endpoint(host: string, ports: readonly number[]): string {
  return `http://${host}:${ports[0] ?? PORT}`;
}

function backendOf({ addon, plan }: BackendInput): BackendSpec {
  const credential = defaultCredential(addon);
  const settings = {
    accessKeyId: credential.user,
    secretAccessKey: credential.password,
    region: REGION,
    bucketName: bucketOf(addon),
    folder: '/data',
    port: PORT,
  };
  return {
    command: nodeServer(CONFIG_FILE),
    env: {},
    user: 'dyno',
    ports: [PORT],
    volumeTarget: '/data',
    memoryBytes: plan.memoryBytes,
    files: [{ path: CONFIG_FILE, content: JSON.stringify(settings) }],
    stopTimeoutMs: 15_000,
    health: {
      argv: ['curl', '--fail', '--silent', '--output', '/dev/null', `http://127.0.0.1:${PORT}/-/health`],
    },
    setup: [],
  };
}
