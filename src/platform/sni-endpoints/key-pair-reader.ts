import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { createSecureContext, rootCertificates } from 'node:tls';
import { isHostname } from '../../domain/domain-name';
import { invalidParams } from '../../domain/errors';
import type { CertificateFacts, KeyPair } from '../../domain/sni-endpoint';

/** Longer ones exist only by mistake, and each costs every handshake. */
const MAX_CHAIN = 10;
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;
/** What TLS clients agree on (RFC 8446 §9.1, RFC 8422 §5.1.1; CA/Browser Forum Baseline Requirements §6.1.5). */
const MIN_RSA_BITS = 2048;
const CURVES = ['prime256v1', 'secp384r1', 'secp521r1'];

/**
 * Reads what a user brings: a chain in any order and its key, both PEM. Answers them in the order that TLS wants
 * (RFC 8446 §4.4.2), and throws invalid_params unless the router can serve them. No message quotes the key.
 * `roots`, PEM, are whom everybody trusts.
 */
export function readKeyPair(
  certificateChain: string,
  privateKey: string,
  roots: readonly string[] = rootCertificates,
): { keyPair: KeyPair; certificate: CertificateFacts } {
  const certificates = readCertificates(certificateChain);
  const key = readKey(privateKey);
  const leaf = certificates.find((certificate) => certificate.checkPrivateKey(key));
  if (leaf === undefined) {
    throw invalidParams(
      certificates.length === 1
        ? 'The private key does not belong to the certificate.'
        : 'The private key does not belong to any certificate of the chain.',
    );
  }
  const chain = orderChain(leaf, certificates);
  const keyPair = {
    certificateChain: chain.map((certificate) => certificate.toString()).join(''),
    privateKey: key.export({ type: 'pkcs8', format: 'pem' }) as string,
  };
  assertServable(keyPair);
  return { keyPair, certificate: describe(leaf, chain, roots) };
}

function readCertificates(text: string): X509Certificate[] {
  const blocks = text.match(CERTIFICATE) ?? [];
  if (blocks.length === 0) {
    throw invalidParams(
      'certificate_chain holds no certificate in PEM form (-----BEGIN CERTIFICATE-----). For one in DER form: openssl x509 -inform der -in FILE.',
    );
  }
  if (blocks.length > MAX_CHAIN) {
    throw invalidParams(`certificate_chain holds ${blocks.length} certificates; at most ${MAX_CHAIN} fit.`);
  }
  const certificates = blocks.map((block, index) => {
    try {
      return new X509Certificate(block);
    } catch {
      // OpenSSL's words for it ("asn1 encoding routines::wrong tag") help nobody.
      throw invalidParams(`Certificate ${index + 1} of certificate_chain cannot be read.`);
    }
  });
  return [...new Map(certificates.map((certificate) => [certificate.fingerprint256, certificate])).values()];
}

function readKey(text: string): KeyObject {
  if (/ENCRYPTED/.test(text)) {
    throw invalidParams(
      'The private key is protected by a passphrase. Remove it: openssl pkey -in FILE -out FILE.plain',
    );
  }
  let key: KeyObject;
  try {
    key = createPrivateKey(text);
  } catch {
    // No cause: nothing of a key shall get near a log.
    throw invalidParams('private_key holds no private key in PEM form.');
  }
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (type === 'rsa' && (details?.modulusLength ?? 0) < MIN_RSA_BITS) {
    throw invalidParams(`An RSA key needs ${MIN_RSA_BITS} bits, and this one has ${details?.modulusLength}.`);
  }
  if (type === 'rsa' || (type === 'ec' && CURVES.includes(details?.namedCurve ?? ''))) return key;
  throw invalidParams(
    `Keys of type ${type ?? 'unknown'}${details?.namedCurve === undefined ? '' : ` (${details.namedCurve})`} cannot be served: RSA, or ECDSA with P-256, P-384 or P-521.`,
  );
}

/** Leaf first, each signed by the next. */
function orderChain(leaf: X509Certificate, certificates: readonly X509Certificate[]): X509Certificate[] {
  const left = certificates.filter((certificate) => certificate !== leaf);
  const chain = [leaf];
  for (let last = leaf; ;) {
    const at = left.findIndex((candidate) => isIssuedBy(last, candidate));
    const [next] = at === -1 ? [] : left.splice(at, 1);
    if (next === undefined) break;
    chain.push(next);
    last = next;
  }
  const [stranger] = left;
  if (stranger !== undefined) {
    throw invalidParams(
      `The chain is broken: the certificate of ${nameOf(stranger.subject)} did not sign any other of it.`,
    );
  }
  return chain;
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

/** OpenSSL has the last word: it refuses keys and signatures that are too weak for its security level. */
function assertServable({ certificateChain, privateKey }: KeyPair): void {
  try {
    createSecureContext({ cert: certificateChain, key: privateKey });
  } catch (error) {
    const reason = (error as { reason?: unknown }).reason;
    throw invalidParams(
      `The certificate cannot be served${typeof reason === 'string' ? `: ${reason}` : ''}.`,
    );
  }
}

function describe(
  leaf: X509Certificate,
  chain: readonly X509Certificate[],
  roots: readonly string[],
): CertificateFacts {
  const domains = namesOf(leaf);
  if (domains.length === 0) throw invalidParams('The certificate names no domain.');
  return {
    domains,
    startsAt: new Date(leaf.validFrom),
    expiresAt: new Date(leaf.validTo),
    issuer: nameOf(leaf.issuer),
    subject: nameOf(leaf.subject),
    selfSigned: isIssuedBy(leaf, leaf),
    caSigned: endsIn(roots, chain),
  };
}

/**
 * Its alternative names; without any its common name, which `heroku certs:generate --selfsigned` leaves it at. Node
 * puts an entry with odd characters in quotes, so that it is no host name, whatever it contains.
 */
function namesOf(leaf: X509Certificate): string[] {
  const alternative = leaf.subjectAltName
    ?.split(', ')
    .flatMap((entry) => /^DNS:(.*)$/.exec(entry)?.[1] ?? []);
  const common = leaf.subject.split('\n').flatMap((entry) => /^CN=(.*)$/.exec(entry)?.[1] ?? []);
  const names = (alternative ?? common).map((name) => name.toLowerCase());
  return [...new Set(names.filter(isHostname))];
}

/** One part per line → `/C=DE/CN=example.com` */
function nameOf(distinguishedName: string): string {
  return distinguishedName === ''
    ? '/'
    : distinguishedName.split('\n').map((part) => `/${part}`).join(''); // prettier-ignore
}

function endsIn(roots: readonly string[], chain: readonly X509Certificate[]): boolean {
  const last = chain.at(-1);
  if (last === undefined) return false;
  return roots.some((pem) => {
    const root = new X509Certificate(pem);
    return root.fingerprint256 === last.fingerprint256 || isIssuedBy(last, root);
  });
}
