/** An archive to build, as builds and set-ups of apps name it. */
export interface SourceBlobBody {
  url: string;
  checksum?: string | null;
  version?: string | null;
}

const NULLABLE = { type: ['string', 'null'] };

/** The schema forgets to say that a URL is needed. `more`: further properties, texts that may be null. */
export function sourceBlobSchema(...more: readonly string[]): Record<string, unknown> {
  return {
    type: 'object',
    required: ['url'],
    properties: {
      url: { type: 'string' },
      ...Object.fromEntries(['checksum', 'version', ...more].map((name) => [name, NULLABLE])),
    },
  };
}
