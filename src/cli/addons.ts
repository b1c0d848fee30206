import type { ApiClient } from './api-client';

interface AddOnJson {
  name: string;
  plan: string;
  app: string;
  state: string;
  /** null: it has nothing that runs. */
  serving: boolean | null;
  /** With all its apps. */
  asleep: boolean;
  problem: string | null;
  attachments: string[];
}
interface DeletedJson {
  name: string;
  plan: string;
  app: string;
  deprovisioned_at: string;
  purged_at: string;
}

/** A database may have to recover first, and its image to be made. */
const UNDELETE_TIMEOUT_MS = 60_000;

/** The lines of `dynodock status` about add-ons; none where there are none. */
export async function describeAddOns(api: ApiClient): Promise<string[]> {
  const addons = (await api.get('/dynodock/addons')) as AddOnJson[];
  if (addons.length === 0) return [];
  const width = Math.max(...addons.map(({ name }) => name.length));
  return [
    '',
    ...addons.map((addon) => {
      const attachments = addon.attachments.length === 0 ? '' : ` as ${addon.attachments.join(', ')}`;
      return `${addon.name.padEnd(width)}  ${addon.plan}  ${addon.app}${attachments}  ${stateOf(addon)}`;
    }),
  ];
}

/** The rows of `dynodock addons:undelete`. */
export async function deletedAddOns(api: ApiClient): Promise<{ cells: string[] }[]> {
  const deleted = (await api.get('/dynodock/addons/deleted')) as DeletedJson[];
  if (deleted.length === 0) return [{ cells: ['No destroyed add-on can be had back.'] }];
  return deleted.map(({ name, plan, app, deprovisioned_at: at, purged_at: until }) => ({
    cells: [name, plan, app, `destroyed ${at}`, `kept until ${until}`],
  }));
}

export async function undeleteAddOn(
  api: ApiClient,
  name: string,
  app: string | undefined,
): Promise<string[]> {
  const path = `/dynodock/addons/deleted/${encodeURIComponent(name)}/undelete`;
  const body = app === undefined ? {} : { app };
  const addon = (await api.post(path, body, { timeoutMs: UNDELETE_TIMEOUT_MS })) as {
    name: string;
    state: string;
    config_vars: string[];
    app: { name: string };
  };
  const vars = addon.config_vars.length === 0 ? '' : ` as ${addon.config_vars.join(', ')}`;
  return [
    addon.state === 'provisioned'
      ? `${addon.name} is back on ${addon.app.name}${vars}.`
      : `${addon.name} is being made usable again on ${addon.app.name}: heroku addons:wait ${addon.name}`,
  ];
}

function stateOf({ state, serving, asleep, problem }: AddOnJson): string {
  if (asleep) return 'asleep';
  if (problem !== null) return `${state}, ${problem}`;
  if (state === 'provisioned' && serving === true) return 'up';
  return state === 'provisioned' && serving === false ? 'starting' : state;
}
