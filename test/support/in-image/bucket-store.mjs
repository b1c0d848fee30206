// Run by the Node.js of the image, which has node:sqlite: lists against the plain way to make them, and what a crash leaves.
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { BucketStore } from '/opt/dynodock/addon/bucket-store.ts';

const folder = mkdtempSync('/tmp/bucket-');
let store = await BucketStore.open(folder);
const bytes = async function* (text) {
  yield Buffer.from(text);
};
const put = async (key, text = 'x') => {
  const blob = await store.blobs.write(bytes(text));
  await store.put({
    ...{ key, headers: {}, isPublic: false, tags: {}, size: text.length, etag: 'e', modifiedAt: new Date(0) },
    blobs: [blob],
  });
};
const read = async (key) => {
  let text = '';
  const { blobs, size } = store.get(key);
  for await (const chunk of store.blobs.read(blobs, 0, size - 1)) text += chunk;
  return text;
};

// Keys of few letters, so that they are prefixes of each other; '0' follows '/', and 'ｚ' and '😀' differ in UTF-8 and UTF-16.
const ALPHABET = ['a', 'b', '/', '/', '0', 'ｚ', '😀', '\u{10ffff}'];
let seed = Number(process.env.SEED ?? 1);
const random = (n) => (seed = (seed * 48271) % 2147483647) % n;
const word = (max) =>
  Array.from({ length: random(max + 1) }, () => ALPHABET[random(ALPHABET.length)]).join('');
const keys = new Set();
while (keys.size < 150) keys.add(word(5) || 'a');
for (const key of keys) await put(key);
const sorted = [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));

/** API Reference, "ListObjectsV2". */
function plainly(prefix, delimiter) {
  const entries = sorted
    .filter((key) => key.startsWith(prefix))
    .map((key) => {
      const at = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length);
      return at === -1 ? key : `${key.slice(0, at + delimiter.length)} (prefix)`;
    });
  return [...new Set(entries)];
}
for (let round = 0; round < 150; round += 1) {
  const [prefix, delimiter, limit] = [word(2), ['', '/', 'a', '\u{10ffff}'][random(4)], 1 + random(7)];
  const found = [];
  for (let after = '', more = true; more;) {
    const page = store.list({ prefix, delimiter, after, limit });
    const entries = [
      ...page.objects.map(({ key }) => [key, key]),
      ...page.commonPrefixes.map((one) => [one, `${one} (prefix)`]),
    ].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    assert.ok(entries.length <= limit && (entries.length > 0 || !page.isTruncated));
    found.push(...entries.map(([, entry]) => entry));
    ({ last: after = after, isTruncated: more } = page);
  }
  assert.deepEqual(found, plainly(prefix, delimiter), JSON.stringify({ prefix, delimiter, limit }));
}

// One object, one file; who reads the old one reads it to its end.
await put('same', 'old');
const { blobs } = store.get('same');
store.blobs.hold(blobs);
await put('same', 'new');
const old = [];
for await (const chunk of store.blobs.read(blobs, 0, 2)) old.push(chunk);
assert.equal(Buffer.concat(old).toString(), 'old');
await store.blobs.release(blobs);
assert.equal(await read('same'), 'new');
assert.equal(readdirSync(`${folder}/blobs`).length, keys.size + 1);

// A body that breaks off leaves nothing; a file of no object goes with the next start.
await assert.rejects(
  store.blobs.write(
    (async function* () {
      yield Buffer.from('half');
      throw new Error('gone');
    })(),
  ),
);
store.close();
writeFileSync(`${folder}/blobs/of-a-crash`, 'x');
store = await BucketStore.open(folder);
assert.equal(readdirSync(`${folder}/blobs`).length, keys.size + 1);
assert.equal(await read('same'), 'new');
process.stdout.write('ok');
