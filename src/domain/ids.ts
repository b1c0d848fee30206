declare const brand: unique symbol;
type Id<Name extends string> = string & { readonly [brand]: Name };

/** UUIDs, branded so that swapping two kinds is a compile error. */
export type AccountId = Id<'account'>;
export type AppId = Id<'app'>;
export type BuildId = Id<'build'>;
export type AppSetupId = Id<'app-setup'>;
export type SlugId = Id<'slug'>;
export type ReleaseId = Id<'release'>;
export type FormationId = Id<'formation'>;
export type DynoId = Id<'dyno'>;
export type DomainId = Id<'domain'>;
export type LogDrainId = Id<'log-drain'>;
export type SniEndpointId = Id<'sni-endpoint'>;
export type WakeId = Id<'wake'>;
export type AddOnId = Id<'add-on'>;
export type ScheduledJobId = Id<'scheduled job'>;
export type AttachmentId = Id<'add-on attachment'>;
export type TransferId = Id<'transfer'>;
export type TransferScheduleId = Id<'transfer schedule'>;

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Heroku takes a name or a UUID in the same place of a URL. */
export function isUuid(text: string): boolean {
  return UUID.test(text);
}
