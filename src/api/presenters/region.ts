import { REGION } from '../../platform/apps/apps';

export const REGION_ID = '6f1e2a4c-0b5d-4c8e-9a37-4e9104000001';
const SINCE = '2026-01-01T00:00:00.000Z';

/** The only region is this machine, under the name of Heroku's default one. */
export function presentRegion(): Record<string, unknown> {
  return {
    country: 'Local',
    created_at: SINCE,
    description: 'This machine',
    id: REGION_ID,
    locale: 'localhost',
    name: REGION,
    private_capable: false,
    // The schema lists the names that may stand here; this is the one that Heroku's `us` has.
    provider: { name: 'dynodock', region: 'us-east-1' },
    updated_at: SINCE,
  };
}

export function presentRegionReference(): { id: string; name: string } {
  return { id: REGION_ID, name: REGION };
}
