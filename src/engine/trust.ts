import type { Mount } from './engine';

/** Where Debian's programs look for the bundle. */
const BUNDLE = '/etc/ssl/certs/ca-certificates.crt';

/**
 * Networks that intercept TLS are common: what the host trusts has to be trusted in builds and dynos, or every
 * download in them fails. The host's bundle replaces the image's; nothing is baked into images.
 */
export function trustMounts(caBundlePath: string | undefined): Mount[] {
  if (caBundlePath === undefined) return [];
  return [{ kind: 'bind', source: caBundlePath, target: BUNDLE, readOnly: true }];
}

/** For programs that bring a list of CAs of their own and ignore the system's. */
export function trustedEnvironment(caBundlePath: string | undefined): Record<string, string> {
  if (caBundlePath === undefined) return {};
  return {
    SSL_CERT_FILE: BUNDLE,
    NODE_EXTRA_CA_CERTS: BUNDLE,
    REQUESTS_CA_BUNDLE: BUNDLE,
    PIP_CERT: BUNDLE,
    GIT_SSL_CAINFO: BUNDLE,
  };
}
