/**
 * As much as the servers of add-ons use of packages that are installed in their images only, and of modules that the
 * Node.js there has and the oldest one that dynodock runs on has not.
 */
declare module 'node:sqlite' {
  export type SqlValue = string | number | bigint | null | Uint8Array;
  export class StatementSync {
    get(...values: SqlValue[]): Record<string, unknown> | undefined;
    all(...values: SqlValue[]): Record<string, unknown>[];
    run(...values: SqlValue[]): { changes: number | bigint; lastInsertRowid: number | bigint };
  }
  export class DatabaseSync {
    constructor(file: string);
    exec(sql: string): void;
    prepare(sql: string): StatementSync;
    close(): void;
  }
}

declare module '@aws-crypto/crc32c' {
  export class Crc32c {
    update(data: Uint8Array): this;
    digest(): number;
  }
}

declare module '@aws-sdk/crc64-nvme' {
  export class Crc64Nvme {
    update(data: Uint8Array): void;
    digest(): Promise<Uint8Array>;
  }
}

declare module 'fast-xml-parser' {
  export class XMLParser {
    constructor(options: {
      parseTagValue: boolean;
      ignoreAttributes: boolean;
      removeNSPrefix: boolean;
      trimValues: boolean;
    });
    /** Throws for what is not well-formed, if asked to check. */
    parse(text: string, check: boolean): unknown;
  }
}
