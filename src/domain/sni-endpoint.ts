import type { AppId, SniEndpointId } from './ids';

/** A user's certificate on an app; domains of the app are associated with it one by one. */
export interface SniEndpoint {
  id: SniEndpointId;
  appId: AppId;
  /** `kyoto-04213`, unique over all apps. */
  name: string;
  /** UUID; changes with the certificate. */
  certificateId: string;
  /** PEM, the server's certificate first, each signed by the next. */
  certificateChain: string;
  certificate: CertificateFacts;
  createdAt: Date;
  updatedAt: Date;
}

/** What a server certificate says. */
export interface CertificateFacts {
  /** Names it is for, lower case, some beginning with `*.` */
  domains: readonly string[];
  startsAt: Date;
  expiresAt: Date;
  /** `/C=DE/O=Example/CN=Example CA`, as Heroku writes names. */
  issuer: string;
  subject: string;
  selfSigned: boolean;
  /** Its chain ends in a root that everybody trusts. */
  caSigned: boolean;
}

/** A chain and its key, checked to belong together. Nothing prints this. */
export interface KeyPair {
  /** PEM, both. */
  certificateChain: string;
  privateKey: string;
}

/** Is the certificate good for a domain? A wildcard stands for exactly one label (RFC 6125 §6.4.3). */
export function coversDomain(certificate: CertificateFacts, hostname: string): boolean {
  const dot = hostname.indexOf('.');
  const wildcard = dot === -1 ? undefined : `*${hostname.slice(dot)}`;
  return certificate.domains.some((name) => name === hostname || name === wildcard);
}

const PLACES = [
  'akita', 'bergen', 'chania', 'delft', 'evora', 'fukuoka', 'galway', 'hobart', 'izmir', 'jaipur', 'kyoto', 'lyon',
  'matera', 'nantes', 'osaka', 'porto', 'quito', 'riga', 'siena', 'tartu', 'uppsala', 'vigo', 'wanaka', 'york', 'zadar',
] as const; // prettier-ignore

/** `kyoto-04213`; `random` answers numbers in [0, 1). */
export function generateSniEndpointName(random: () => number): string {
  const place = PLACES[Math.floor(random() * PLACES.length)] ?? 'osaka';
  return `${place}-${String(Math.floor(random() * 100_000)).padStart(5, '0')}`;
}
