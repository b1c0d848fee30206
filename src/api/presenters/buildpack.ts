const URN = 'urn:buildpack:';

/** A buildpack of the registry: `heroku/nodejs`, also written as a URN. */
const REGISTRY_NAME = /^(?:urn:buildpack:)?([\w.-]+\/[\w.-]+)$/;

/** The CLI strips the prefix and shows the name (contract, section 2.4). */
export function buildpackUrn(name: string): string {
  return `${URN}${name}`;
}

/** `text` as the user gave it: a registry name, its URN, or any URL. */
export function presentBuildpack(text: string): { url: string; name: string } {
  const name = REGISTRY_NAME.exec(text)?.[1];
  return name === undefined ? { url: text, name: text } : { url: buildpackUrn(name), name };
}

export function presentBuildpackInstallation(text: string, ordinal: number): Record<string, unknown> {
  return { ordinal, buildpack: presentBuildpack(text) };
}
