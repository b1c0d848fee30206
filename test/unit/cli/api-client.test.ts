import { ApiClientError, createApiClient } from '../../../src/cli/api-client';
import { TestApi } from '../../support/api';

let api: TestApi;
beforeEach(async () => {
  api = await TestApi.start();
});
afterEach(() => api.stop());

const client = (token = api.token) => createApiClient({ apiPort: api.server.port, token });

describe("the commands' client of the API", () => {
  test('gets all items of a list that comes in pages', async () => {
    // A page has 200 unless more are asked for.
    for (let number = 0; number < 401; number += 1) api.anApp(`app-${number}`);
    const names = ((await client().list('/apps')) as { name: string }[]).map((app) => app.name);
    expect(new Set(names).size).toBe(401);
    expect(names).toHaveLength(401);
  });

  test('gets an empty list', async () => {
    expect(await client().list('/apps')).toEqual([]);
  });

  test('sends JSON and gives back the answer', async () => {
    expect(await client().post('/apps', { name: 'shop' })).toMatchObject({ name: 'shop' });
    expect(await client().patch('/apps/shop', { maintenance: true })).toMatchObject({
      maintenance: true,
    });
    expect(await client().get('/apps/shop')).toMatchObject({ maintenance: true });
  });

  test("throws the daemon's own words", async () => {
    await expect(client().get('/apps/nope')).rejects.toEqual(new ApiClientError("Couldn't find that app."));
    await expect(client('wrong').list('/apps')).rejects.toThrow('Invalid credentials provided.');
  });

  test('says when nobody answers', async () => {
    const { port } = api.server;
    await api.server.stop();
    await expect(createApiClient({ apiPort: port, token: 'any' }).get('/apps')).rejects.toThrow(
      'the daemon does not answer',
    );
  });
});
