import type { Account } from '../../domain/account';
import type { App } from '../../domain/app';
import { presentGeneration } from './generation';
import { presentRegionReference } from './region';
import { presentStackReference } from './stack';

export interface AppSurroundings {
  owner: Account;
  webUrl: string;
  gitUrl: string;
  /** Its dynos take from a pool of hours. */
  takesDynoHours: boolean;
}

/** The CLI fails on a null owner, region, stack, build_stack or web_url (contract, G10). */
export function presentApp(
  app: App,
  { owner, webUrl, gitUrl, takesDynoHours }: AppSurroundings,
): Record<string, unknown> {
  return {
    acm: false,
    archived_at: null,
    buildpack_provided_description: app.buildpackProvidedDescription,
    build_stack: presentStackReference(app.buildStack),
    created_at: app.createdAt,
    generation: presentGeneration(),
    git_url: gitUrl,
    id: app.id,
    internal_routing: null,
    maintenance: app.maintenance,
    name: app.name,
    organization: null,
    // Beyond the schema: `heroku ps` shows the quota of an eco app.
    ...(takesDynoHours ? { process_tier: 'eco' } : {}),
    owner: { email: owner.email, id: owner.id },
    region: presentRegionReference(),
    released_at: app.releasedAt,
    repo_size: app.repoSize,
    slug_size: app.slugSize,
    space: null,
    stack: presentStackReference(app.stack),
    team: null,
    updated_at: app.updatedAt,
    web_url: webUrl,
  };
}

/** As other resources name their app. */
export function presentAppReference(app: App): { id: string; name: string } {
  return { id: app.id, name: app.name };
}
