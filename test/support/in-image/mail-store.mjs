// Run by the Node.js of the image, which has node:sqlite: the bounds of what a catcher keeps.
import assert from 'node:assert/strict';
import { mkdtempSync } from 'node:fs';
import { MailStore } from '/opt/dynodock/addon/mail-store.ts';

const folder = mkdtempSync('/tmp/mail-');
const summary = (subject) => ({
  from: '',
  to: '',
  cc: '',
  subject,
  date: null,
  attachments: [],
  hasHtml: false,
  problem: null,
});
const add = (store, n, bytes = 10) =>
  store.add(Buffer.alloc(bytes), { from: 'a@x', to: [`U${n}@x`] }, summary(`No ${n}`), new Date());
const subjects = (store, filter = {}) =>
  store.list({ limit: 100, ...filter }).map((message) => message.summary.subject);

let store = new MailStore(folder, { maxMessages: 3, maxBytes: 1000 });
for (let n = 1; n <= 5; n += 1) add(store, n);
assert.deepEqual(subjects(store), ['No 5', 'No 4', 'No 3']);
assert.deepEqual(subjects(store, { to: 'u4@X' }), ['No 4']);
assert.deepEqual(subjects(store, { subject: 'NO 3' }), ['No 3']);
// By bytes: the two small ones still fit beside the large one, then none does.
add(store, 6, 980);
assert.deepEqual(subjects(store), ['No 6', 'No 5', 'No 4']);
add(store, 7, 990);
assert.deepEqual(subjects(store), ['No 7']);
// Ids are not given again.
store.deleteAll();
assert.equal(add(store, 8), 8);
for (let n = 9; n <= 10; n += 1) add(store, n);
store.close();

// After a change to a smaller plan.
store = new MailStore(folder, { maxMessages: 2, maxBytes: 1000 });
assert.deepEqual(subjects(store), ['No 10', 'No 9']);
assert.equal(store.get(8), undefined);
assert.equal(store.delete(9), true);
assert.equal(store.delete(9), false);
assert.equal(store.count(), 1);
process.stdout.write('ok');
