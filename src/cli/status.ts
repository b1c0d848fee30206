import type { ApiClient } from './api-client';
import { describeAppSleep } from './sleep';

interface AppJson {
  name: string;
  web_url: string;
  maintenance: boolean;
}
interface DynoJson {
  name: string;
  state: string;
  size: string;
  release: { version: number };
}

/** The lines of `dynodock status APP`. */
export async function describeApp(api: ApiClient, name: string): Promise<string[]> {
  const path = `/apps/${encodeURIComponent(name)}`;
  const app = (await api.get(path)) as AppJson;
  const dynos = (await api.get(`${path}/dynos`)) as DynoJson[];
  return [
    `${app.name}  ${app.web_url}${app.maintenance ? '  maintenance mode' : ''}`,
    ...(dynos.length === 0 ? ['No dynos.'] : []),
    ...dynos.map(
      ({ name: dyno, state, size, release }) => `  ${dyno}  ${state}  ${size}  v${release.version}`,
    ),
    '',
    ...(await describeAppSleep(api, name)),
  ];
}

/** The lines of `dynodock status`: one per app, with its dynos. */
export async function describeApps(api: ApiClient): Promise<string[]> {
  const apps = (await api.get('/apps')) as AppJson[];
  if (apps.length === 0) return ['No apps yet: heroku create'];
  const width = Math.max(...apps.map((app) => app.name.length));
  return Promise.all(
    apps.map(async (app) => {
      const dynos = (await api.get(`/apps/${app.name}/dynos`)) as DynoJson[];
      const state = app.maintenance
        ? 'maintenance mode'
        : dynos.length === 0
          ? 'no dynos'
          : dynos.map((dyno) => `${dyno.name} ${dyno.state} (v${dyno.release.version})`).join(', ');
      return `${app.name.padEnd(width)}  ${app.web_url}  ${state}`;
    }),
  );
}
