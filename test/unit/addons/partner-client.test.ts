import { judge } from '../../../src/addons/partner-client';

test.each([
  [200, '{"id":"1"}', 'POST', { kind: 'done', body: { id: '1' } }],
  [201, '{}', 'POST', { kind: 'done', body: {} }],
  [202, '{"id":1}', 'POST', { kind: 'accepted', body: { id: 1 } }],
  [200, '', 'POST', { kind: 'failed', reason: 'gave an answer 200 without a JSON object' }],
  [200, '[1]', 'POST', { kind: 'failed', reason: 'gave an answer 200 without a JSON object' }],
  [200, 'OK', 'PUT', { kind: 'done', body: {} }],
  [204, '', 'DELETE', { kind: 'done', body: {} }],
  [202, '', 'DELETE', { kind: 'accepted', body: {} }],
  [422, '{"message":"No."}', 'POST', { kind: 'refused', status: 422, message: 'No.' }],
  [401, '<html>', 'POST', { kind: 'refused', status: 401, message: null }],
  [410, '', 'DELETE', { kind: 'refused', status: 410, message: null }],
  [429, '{"message":"Slow down"}', 'POST', { kind: 'failed', reason: 'answered with status 429' }],
  [301, '', 'POST', { kind: 'failed', reason: 'answered with status 301' }],
  [503, '{"message":"Later"}', 'PUT', { kind: 'failed', reason: 'answered with status 503' }],
] as const)('%i %s to a %s', (status, text, method, expected) => {
  expect(judge({ status, text }, method)).toEqual(expected);
});
