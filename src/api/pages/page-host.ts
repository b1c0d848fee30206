import type { Request } from 'express';
import type { AddOn } from '../../domain/addon';
import { isUuid, type AddOnId } from '../../domain/ids';
import type { ApiServices } from '../services';

const HOST = /^([0-9a-f-]{36})\.localhost(?::\d{1,5})?$/i;
const PORT = /:\d{1,5}$/;

/**
 * Whose page a request is for, by its Host header. Each page is an origin of its own, `<add-on's id>.localhost`, which
 * browsers take to this machine (RFC 6761, section 6.3): so no page can read, or act on, another one or the API.
 */
export function pageIdOf(host: string | undefined): AddOnId | undefined {
  const id = HOST.exec(host ?? '')?.[1]?.toLowerCase();
  return id !== undefined && isUuid(id) ? (id as AddOnId) : undefined;
}

/**
 * What `addons:open` opens: a link of a provider's own, or one that lets a browser see the add-on's page, good for some
 * minutes: `http://<id>.localhost:5050/…`, on the port by which the client has reached the API.
 */
export function webUrl(
  req: Request,
  addon: AddOn,
  { addons, pageSessions }: Pick<ApiServices, 'addons' | 'pageSessions'>,
): string {
  const own = addons.catalogue.find(addon)?.provider.webUrl?.(addon);
  if (own !== undefined) return own;
  const port = PORT.exec(req.get('Host') ?? '')?.[0] ?? '';
  return `http://${addon.id}.localhost${port}${pageSessions.link(addon.id)}`;
}
