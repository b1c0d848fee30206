import type { AddOn, AddOnConfig, AddOnCredential, AddOnOptions } from '../domain/addon';

/**
 * What an add-on service is, as data: a provider says what is to run and what config vars follow from it, and never
 * starts anything itself. The dyno manager runs the backends of `container` providers; what a `builtin` one does is a
 * part of the daemon (a scheduler, say); a `partner` one is asked over HTTP (Add-on Partner API).
 */
export type AddOnProvider = ContainerProvider | BuiltinProvider | PartnerProvider;

export interface ProviderFacts {
  /** `heroku-postgresql`, the name that users type. */
  service: string;
  /** `Heroku Postgres` */
  humanName: string;
  /** Names of add-ons are generated from it: `postgresql` gives `postgresql-slippery-34466`. */
  namePrefix: string;
  /** What an app's first one is attached as: `DATABASE`. */
  attachmentName: string;
  /** Further ones are attached under `<prefix>_<COLOUR>`: `HEROKU_POSTGRESQL`. */
  colourPrefix: string;
  /** The first one is attached under a colour too, so that it keeps a name when another one is promoted. */
  firstHasColour: boolean;
  plans: readonly AddOnPlan[];
  defaultPlan: string;
  /** May an app own several? */
  multiple: boolean;
  /** May other apps attach it? */
  sharable: boolean;
  /** npm package of its commands for the CLI. */
  cliPluginName: string | null;
  /** What `addons:create … -- --name value` may say. Anything else is refused, unless `anyOption`. */
  options: Readonly<Record<string, OptionFacts>>;
  /** Options are for somebody else to judge. */
  anyOption?: boolean;
  /** Secrets and names of a new add-on. `secret(n)` answers n random characters out of a-z and 0-9. */
  newConfig: (input: NewConfigInput) => AddOnConfig;
  /**
   * The config vars of one attachment, without its name: `{ URL: 'redis://…' }` of `REDIS` becomes `REDIS_URL`. The
   * empty suffix is the name itself.
   */
  configVars: (input: ConfigVarInput) => Readonly<Record<string, string>>;
  /**
   * Whole names, for what libraries read by themselves. Set along with the attachment of the service's own name
   * (`attachmentName`), where the app does not have them already.
   */
  sharedVars?: (input: ConfigVarInput) => Readonly<Record<string, string>>;
  /** Their names where they are known before their values are; absent: those of `configVars`. */
  configVarSuffixes?: (addon: AddOn) => readonly string[];
  /** Shown by the CLI after creation. */
  provisionMessage?: (addon: AddOn) => string;
  /** What `addons:open` opens, where that is not a page of dynodock's, e.g. a partner's dashboard. */
  webUrl?: (addon: AddOn) => string;
  /** What `addons:open` shows, with all about sessions taken care of (ADR 34); absent: the add-on's state. */
  page?: AddOnPage;
}

export type AddOnPage =
  /** The daemon draws it: one of `DRAWN_PAGES` in `api/pages/drawn-pages.ts`. */
  | { kind: 'drawn'; name: string }
  /** The browser goes on to the partner's own page, signed on there. */
  | { kind: 'sign-on' }
  /**
   * The add-on's own server serves it over HTTP, on the port with this index in `BackendSpec.ports`, as if from the root of
   * a host. `headers` are sent along with each request, e.g. an Authorization that the browser is not to know.
   */
  | { kind: 'served'; port: number; headers?: (addon: AddOn) => Readonly<Record<string, string>> };

export interface AddOnPlan {
  /** `standard-0` */
  name: string;
  /** `Standard 0` */
  humanName: string;
  description: string;
  /** By the month, as on Heroku; nothing is charged here. */
  priceCents: number;
  /** Heroku sells it no more: it can be asked for by name, and is not listed. */
  retired: boolean;
  memoryBytes: number;
  /** Clients at a time; null = as many as the server takes. */
  connections: number | null;
  /** Nightly backups are taken of it. */
  backedUp: boolean;
  /** What its provider distinguishes plans by. */
  traits: Readonly<Record<string, string | number | boolean>>;
}

export interface OptionFacts {
  help: string;
  /** Throws an Error with the reason for a value that does not fit. */
  check?: (value: string) => void;
  /**
   * The value is an add-on of the same service, by its name, URL or attachment. What the add-on keeps of it is its id. The
   * options in `inherits` are those of that add-on, unless they are given.
   */
  refersTo?: { kind: 'add-on'; inherits: readonly string[] };
  /** Of which plans it is an option; what it throws for others is an Error with the reason. */
  checkPlan?: (plan: AddOnPlan) => void;
  /** Heroku has it, and it is not supported here: why. */
  refused?: string;
}

export interface NewConfigInput {
  plan: AddOnPlan;
  options: AddOnOptions;
  secret: (length: number) => string;
}

export interface ConfigVarInput {
  addon: AddOn;
  plan: AddOnPlan;
  /** Of the attachment's namespace. */
  credential: AddOnCredential;
  /** What both dynos and the user's shell reach its ports under; empty for add-ons without a container. */
  host: string;
  /** In the order of the backend's ports. */
  ports: readonly number[];
}

export interface BuiltinProvider extends ProviderFacts {
  kind: 'builtin';
}

export interface PartnerProvider extends ProviderFacts {
  kind: 'partner';
  endpoint: PartnerEndpoint;
}

/** Where and how a partner is asked. */
export interface PartnerEndpoint {
  /** Of the Add-on Partner API. */
  version: 1 | 3;
  /** Without a slash at its end. */
  baseUrl: string;
  /** How users get to its pages; null: it has none. */
  sso: { url: string; salt: string; method: 'get' | 'post' } | null;
  password: string;
  /** What all its config vars begin with: `MYADDON`. */
  prefix: string;
  /** The names that it may set; empty: all with its prefix. */
  configVars: readonly string[];
  /** `many_per_app`, `attachable`, `log_input` … */
  requires: ReadonlySet<string>;
}

export interface ContainerProvider extends ProviderFacts {
  kind: 'container';
  /** Which image an add-on with these options runs on. */
  image: (options: AddOnOptions) => BackendImage;
  backend: (input: BackendInput) => BackendSpec;
  /**
   * How a line that its server prints appears in the log of an app that has it attached as `attachment`; null: not at all.
   * Absent: as it is, by the name of the service.
   */
  logLine?: (line: string, attachment: string) => BackendLogLine | null;
  /**
   * Its server listens where `BackendInput.listen` says and nowhere else, and lets no client of its own change that or
   * make it connect to somewhere. Then it may run in the host's network, where no proxy stands before it (ADR 39).
   */
  listensAsTold?: true;
  commands?: ProviderCommands;
}

export interface BackendLogLine {
  /** What stands in the brackets: `app[postgres.1234]`. */
  process: string;
  text: string;
}

/**
 * `recipe`: made of `images/addons/<name>/provision.sh` where the engine does not have it. `registry`: pulled, where
 * a registry can be reached.
 */
export type BackendImage = { kind: 'recipe'; name: string } | { kind: 'registry'; reference: string };

export interface BackendInput {
  addon: AddOn;
  plan: AddOnPlan;
  /** Only for providers that listen as told. Absent: on all addresses of its container, on the ports that it names. */
  listen?: ListenAddress;
}

/** On the host: one address, and one port for each of the backend's ports, in their order. */
export interface ListenAddress {
  address: string;
  ports: readonly number[];
}

/** One container. Nothing secret may stand in `command`, `env` or the argument lists: secrets go into files. */
export interface BackendSpec {
  command: readonly string[];
  env: Readonly<Record<string, string>>;
  /** A user of the image; default: what the image says. */
  user?: string;
  /** TCP ports inside; each is reached under one port of the host, in this order, one after another. */
  ports: readonly number[];
  /** Where its data lies; absent: it keeps none. */
  volumeTarget?: string;
  memoryBytes: number;
  /** Written before each start. A change of them restarts the server. */
  files: readonly BackendFile[];
  /** Where to put `server.crt` and `server.key` of the local CA before each start; absent: it speaks no TLS. */
  certificateDir?: string;
  stopSignal?: string;
  /** How long it may take to shut down. */
  stopTimeoutMs: number;
  /** Run inside: ends with 0 once it serves. */
  health: BackendCommand;
  /** Run inside, in order, each time that it serves anew, and when credentials have changed: may be repeated. */
  setup: readonly BackendCommand[];
}

export interface BackendFile {
  path: string;
  content: string;
  /** Default 0444: the container has one user. */
  mode?: number;
}

/** Something to run inside a backend. */
export interface BackendCommand {
  argv: readonly string[];
  user?: string;
  env?: Readonly<Record<string, string>>;
  /** Written before, e.g. what would be secret among the arguments. Not part of what a change of restarts the server. */
  files?: readonly BackendFile[];
}

/** What can be done with a running backend; what a provider leaves out is not supported for its add-ons. */
export interface ProviderCommands {
  /** Prints a dump to its standard output. */
  backup?: (input: BackendInput) => BackendCommand;
  /** Reads such a dump from its standard input, in place of what is there. */
  restore?: (input: BackendInput) => BackendCommand;
  /** Prints `name=value` lines, the samples of Heroku's add-on metrics: `sample#active-connections=22`. */
  metrics?: (input: BackendInput) => BackendCommand;
}

/** With what is the same for most plans filled in. */
export function aPlan(
  plan: Pick<AddOnPlan, 'name' | 'humanName' | 'priceCents' | 'memoryBytes'> & Partial<AddOnPlan>,
): AddOnPlan {
  return {
    description: plan.humanName,
    retired: false,
    connections: null,
    backedUp: false,
    traits: {},
    ...plan,
  };
}

export const MIB = 1024 * 1024;
