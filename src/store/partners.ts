import type { AddOnId } from '../domain/ids';
import type { PartnerEnvironment, PartnerPhase, PartnerResource, PartnerService } from '../domain/partner';
import { date, dateOrNull, integer, text, textOrNull } from './columns';
import type { Database, Row, Statement } from './database';

/** Partners' services, and what their add-ons are to them. */
export class PartnerStore {
  readonly #saveService: Statement;
  readonly #deleteService: Statement;
  readonly #services: Statement;
  readonly #service: Statement;
  readonly #saveResource: Statement;
  readonly #deleteResource: Statement;
  readonly #resource: Statement;
  readonly #byLogToken: Statement;
  readonly #resources: Statement;

  constructor(database: Database) {
    this.#saveService = database.prepare(
      `INSERT INTO partner_services (service, manifest, environment, client_secret, file, created_at, updated_at)
        VALUES (@service, @manifest, @environment, @clientSecret, @file, @createdAt, @updatedAt)
        ON CONFLICT (service) DO UPDATE SET manifest = @manifest, environment = @environment,
          client_secret = @clientSecret, file = @file, updated_at = @updatedAt`,
    );
    this.#deleteService = database.prepare('DELETE FROM partner_services WHERE service = @service');
    this.#services = database.prepare('SELECT * FROM partner_services ORDER BY service');
    this.#service = database.prepare('SELECT * FROM partner_services WHERE service = @service');
    this.#saveResource = database.prepare(
      `INSERT INTO partner_resources (addon_id, service, phase, provider_id, wanted_plan, attempts, next_attempt_at,
          deadline, problem, log_token, created_at)
        VALUES (@addonId, @service, @phase, @providerId, @wantedPlan, @attempts, @nextAttemptAt, @deadline, @problem,
          @logToken, @createdAt)
        ON CONFLICT (addon_id) DO UPDATE SET phase = @phase, provider_id = @providerId, wanted_plan = @wantedPlan,
          attempts = @attempts, next_attempt_at = @nextAttemptAt, deadline = @deadline, problem = @problem`,
    );
    this.#deleteResource = database.prepare('DELETE FROM partner_resources WHERE addon_id = @addonId');
    this.#resource = database.prepare('SELECT * FROM partner_resources WHERE addon_id = @addonId');
    this.#byLogToken = database.prepare('SELECT * FROM partner_resources WHERE log_token = @logToken');
    this.#resources = database.prepare('SELECT * FROM partner_resources ORDER BY created_at, addon_id');
  }

  /** Adds or replaces it. */
  saveService(service: PartnerService): void {
    this.#saveService.run({
      ...service,
      createdAt: service.createdAt.getTime(),
      updatedAt: service.updatedAt.getTime(),
    });
  }

  deleteService(service: string): void {
    this.#deleteService.run({ service });
  }

  services(): PartnerService[] {
    return this.#services.all().map(toService);
  }

  service(service: string): PartnerService | undefined {
    const row = this.#service.get({ service });
    return row === undefined ? undefined : toService(row);
  }

  /** Adds or replaces it. */
  saveResource(resource: PartnerResource): void {
    this.#saveResource.run({
      ...resource,
      nextAttemptAt: resource.nextAttemptAt?.getTime() ?? null,
      deadline: resource.deadline?.getTime() ?? null,
      createdAt: resource.createdAt.getTime(),
    });
  }

  deleteResource(addonId: AddOnId): void {
    this.#deleteResource.run({ addonId });
  }

  resource(addonId: AddOnId): PartnerResource | undefined {
    const row = this.#resource.get({ addonId });
    return row === undefined ? undefined : toResource(row);
  }

  resourceByLogToken(logToken: string): PartnerResource | undefined {
    const row = this.#byLogToken.get({ logToken });
    return row === undefined ? undefined : toResource(row);
  }

  resources(): PartnerResource[] {
    return this.#resources.all().map(toResource);
  }
}

function toService(row: Row): PartnerService {
  return {
    service: text(row, 'service'),
    manifest: text(row, 'manifest'),
    environment: text(row, 'environment') as PartnerEnvironment,
    clientSecret: text(row, 'client_secret'),
    file: textOrNull(row, 'file'),
    createdAt: date(row, 'created_at'),
    updatedAt: date(row, 'updated_at'),
  };
}

function toResource(row: Row): PartnerResource {
  return {
    addonId: text(row, 'addon_id') as AddOnId,
    service: text(row, 'service'),
    phase: text(row, 'phase') as PartnerPhase,
    providerId: textOrNull(row, 'provider_id'),
    wantedPlan: textOrNull(row, 'wanted_plan'),
    attempts: integer(row, 'attempts'),
    nextAttemptAt: dateOrNull(row, 'next_attempt_at'),
    deadline: dateOrNull(row, 'deadline'),
    problem: textOrNull(row, 'problem'),
    logToken: text(row, 'log_token'),
    createdAt: date(row, 'created_at'),
  };
}
