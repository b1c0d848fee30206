/**
 * Only requests that were sent to one of our names are answered. A page on the internet may point its own host name
 * at 127.0.0.1 ("DNS rebinding") and then talk to us as its own origin; its name is in the Host header.
 */
export function isOurHost(header: string | undefined, extraHosts: readonly string[]): boolean {
  if (header === undefined) return false;
  const match = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?$/i.exec(header);
  const host = match?.[1]?.toLowerCase();
  return host !== undefined && (LOOPBACK.has(host) || extraHosts.includes(host));
}

const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]']);
