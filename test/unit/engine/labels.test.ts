import { APP_LABEL, isOwned, ownedLabels } from '../../../src/engine/labels';

test('labels name the installation, the role and what else is given', () => {
  expect(ownedLabels('here', 'dyno', { [APP_LABEL]: 'app-1' })).toEqual({
    'dynodock.installation': 'here',
    'dynodock.role': 'dyno',
    'dynodock.app': 'app-1',
  });
});

test('only what bears this installation’s id is owned', () => {
  expect(isOwned(ownedLabels('here', 'build'), 'here')).toBe(true);
  expect(isOwned(ownedLabels('elsewhere', 'build'), 'here')).toBe(false);
  expect(isOwned({}, 'here')).toBe(false);
});
