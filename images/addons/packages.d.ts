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
    readonly isTransaction: boolean;
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

declare module 'sanitize-html' {
  interface Attributes {
    [name: string]: string;
  }
  namespace sanitizeHtml {
    interface Options {
      allowedTags: string[];
      allowedAttributes: Record<string, string[]>;
      allowedSchemes: string[];
      allowedSchemesByTag: Record<string, string[]>;
      allowedSchemesAppliedToAttributes: string[];
      allowProtocolRelative: boolean;
      parseStyleAttributes: boolean;
      nestingLimit: number;
      transformTags: Record<
        string,
        string | ((tagName: string, attributes: Attributes) => { tagName: string; attribs: Attributes })
      >;
    }
  }
  function sanitizeHtml(html: string, options: sanitizeHtml.Options): string;
  namespace sanitizeHtml {
    const defaults: { allowedTags: string[] };
  }
  export = sanitizeHtml;
}

declare module 'smtp-server' {
  import type { EventEmitter } from 'node:events';
  import type { PassThrough } from 'node:stream';
  export interface SMTPServerSession {
    envelope: { mailFrom: { address: string } | false; rcptTo: { address: string }[] };
  }
  export interface SMTPServerDataStream extends PassThrough {
    sizeExceeded: boolean;
  }
  export interface SMTPServerOptions {
    cert?: Buffer;
    key?: Buffer;
    banner: string;
    size: number;
    authMethods: string[];
    allowInsecureAuth: boolean;
    disabledCommands: string[];
    disableReverseLookup: boolean;
    logger: false;
    maxClients: number;
    maxRecipients: number;
    socketTimeout: number;
    closeTimeout: number;
    onAuth: (
      auth: { username?: string; password?: string | null },
      session: SMTPServerSession,
      callback: (error: Error | null, response?: { user: string }) => void,
    ) => void;
    onData: (
      stream: SMTPServerDataStream,
      session: SMTPServerSession,
      callback: (error: Error | null, message?: string) => void,
    ) => void;
  }
  export class SMTPServer extends EventEmitter {
    constructor(options: SMTPServerOptions);
    listen(port: number, listening: () => void): void;
    close(closed: () => void): void;
  }
}

declare module 'mailparser' {
  export interface AddressObject {
    text: string;
  }
  export interface Attachment {
    filename?: string;
    contentType: string;
    size: number;
    content: Buffer;
  }
  export interface ParsedMail {
    from?: AddressObject;
    to?: AddressObject | AddressObject[];
    cc?: AddressObject | AddressObject[];
    subject?: string;
    date?: Date;
    text?: string;
    /** false: there is none. */
    html?: string | false;
    attachments: Attachment[];
    headerLines: readonly { key: string; line: string }[];
  }
  export function simpleParser(
    source: Buffer,
    options: {
      maxHeadSize: number;
      maxChildNodes: number;
      maxHtmlLengthToParse: number;
      checksumAlgo: false;
    },
  ): Promise<ParsedMail>;
}
