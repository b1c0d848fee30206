import { readFileSync } from 'node:fs';
import { CommandError } from './terminal';
import type { ApiClient } from './api-client';

interface PartnerServiceJson {
  service: string;
  human_name: string;
  environment: string;
  version: number;
  base_url: string;
  plans: string[];
  file: string | null;
  client_secret?: string;
}

export interface RegisterOptions {
  production?: boolean;
  test?: boolean;
}

/** `dynodock addons:register FILE`. */
export async function registerService(
  api: ApiClient,
  file: string,
  { production, test }: RegisterOptions,
): Promise<string[]> {
  if (production === true && test === true) {
    throw new CommandError('There is one set of URLs at a time.', 'Say --production or --test, not both.');
  }
  let manifest: string;
  try {
    manifest = readFileSync(file, 'utf8');
  } catch (cause) {
    throw new CommandError(`${file} cannot be read.`, 'Say where the addon-manifest.json is.', { cause });
  }
  const environment = production === true ? 'production' : test === true ? 'test' : null;
  const body = { manifest, environment };
  const service = (await api.post('/dynodock/partner-services', body)) as PartnerServiceJson;
  return [
    `${service.service} is registered: version ${service.version} of the API, ${service.environment}, ${service.base_url}.`,
    `Plans: ${service.plans.join(', ')}.`,
    `Client secret, for POST /oauth/token: ${service.client_secret ?? ''}`,
    `Try it: heroku addons:create ${service.service}`,
  ];
}

/** The rows of `dynodock addons:registered`. */
export async function registeredServices(api: ApiClient): Promise<{ cells: string[] }[]> {
  const services = (await api.get('/dynodock/partner-services')) as PartnerServiceJson[];
  if (services.length === 0) return [{ cells: ['No add-on service of a partner is registered.'] }];
  return services.map(({ service, version, environment, base_url: url, file }) => ({
    cells: [service, `version ${version}`, environment, url, file ?? ''],
  }));
}

export async function unregisterService(api: ApiClient, name: string, force: boolean): Promise<string[]> {
  const path = `/dynodock/partner-services/${encodeURIComponent(name)}/unregister`;
  await api.post(path, { force });
  return [`${name} is registered no more.`];
}
