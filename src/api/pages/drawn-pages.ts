import type { ApiServices } from '../services';
import type { DrawnPage } from './drawn-page';
import { schedulerPage } from './scheduler-page';
import { statusPage } from './status-page';

/** By the name that a provider has in its `page`. */
const DRAWN_PAGES: Readonly<Record<string, (services: ApiServices) => DrawnPage>> = {
  scheduler: schedulerPage,
};

/** The page of this name; the one of any add-on's state without one. */
export function drawnPage(services: ApiServices, name?: string): DrawnPage {
  if (name === undefined) return statusPage(services);
  const draw = DRAWN_PAGES[name];
  if (draw === undefined) throw new Error(`a provider asks for a page that there is not: ${name}`);
  return draw(services);
}
