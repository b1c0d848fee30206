/** Heroku's first platform, as opposed to `fir`; the CLI chooses its protocols by it (contract, section 3.1). */
export const GENERATION_NAME = 'cedar';
const GENERATION_ID = '6f1e2a4c-0b5d-4c8e-9a37-9e4e8a7104ce';

export function presentGeneration(): { id: string; name: string } {
  return { id: GENERATION_ID, name: GENERATION_NAME };
}
