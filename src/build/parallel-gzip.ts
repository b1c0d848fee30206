import { promisify } from 'node:util';
import { gzip } from 'node:zlib';

/** Fast rather than small: slugs stay on this machine. */
const GZIP_LEVEL = 1;
/** Small enough that few of them fill all cores, large enough that starting anew each time costs no size. */
const BLOCK_BYTES = 1024 * 1024;
/** Node.js has four threads for such work (`UV_THREADPOOL_SIZE`), which files are written on as well. */
const AT_ONCE = 3;

const compress = promisify<Uint8Array, { level: number }, Buffer>(gzip);

/**
 * Gzips on several cores: each block is a member of its own, and members one after the other are a gzip file (RFC 1952,
 * section 2.2). The same blocks give the same file.
 */
export async function* parallelGzip(blocks: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  const members: Promise<Buffer>[] = [];
  const begin = (block: Uint8Array): void => {
    const member = compress(block, { level: GZIP_LEVEL });
    // Awaited in its turn; until then its failure is not an unhandled one.
    member.catch(() => undefined);
    members.push(member);
  };
  let isEmpty = true;
  for await (const block of blocks) {
    isEmpty = false;
    begin(block);
    if (members.length >= AT_ONCE) yield (await members.shift()) as Buffer;
  }
  if (isEmpty) begin(Buffer.alloc(0));
  for (const member of members) yield await member;
}

/** The same bytes, in whatever pieces they come, as blocks of equal size but for the last one. */
export async function* toBlocks(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let parts: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    let rest = chunk;
    while (size + rest.length >= BLOCK_BYTES) {
      const taken = BLOCK_BYTES - size;
      yield Buffer.concat([...parts, rest.subarray(0, taken)]);
      rest = rest.subarray(taken);
      parts = [];
      size = 0;
    }
    if (rest.length > 0) parts.push(rest);
    size += rest.length;
  }
  if (size > 0) yield Buffer.concat(parts);
}
