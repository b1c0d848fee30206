import fc from 'fast-check';
import { parseAppJson, resolveEnv } from '../../../src/domain/app-json';

const parse = (json: unknown): ReturnType<typeof parseAppJson> => parseAppJson(JSON.stringify(json));

describe('app.json', () => {
  test('is read whole', () => {
    const { manifest, errors } = parse({
      name: 'Small',
      keywords: ['a'],
      stack: 'heroku-22',
      success_url: '/welcome',
      env: { A: 'a', B: { description: 'x', required: false }, C: { generator: 'secret' } },
      formation: { web: { quantity: 2, size: 'basic' } },
      addons: ['heroku-postgresql', { plan: 'heroku-redis:mini', as: 'CACHE', options: { version: 7 } }],
      buildpacks: [{ url: 'heroku/nodejs' }],
      scripts: { postdeploy: { command: 'node seed.js', size: 'basic' }, test: 'npm test' },
      environments: { test: { env: { A: 'b' } } },
      unknown: 1,
    });
    expect(errors).toEqual([]);
    expect(manifest).toEqual({
      stack: 'heroku-22',
      successUrl: '/welcome',
      env: {
        A: { value: 'a', required: false, generated: false },
        B: { value: null, required: false, generated: false },
        C: { value: null, required: true, generated: true },
      },
      formation: [{ type: 'web', quantity: 2, size: 'basic' }],
      addons: [
        { plan: 'heroku-postgresql', as: null, options: {} },
        { plan: 'heroku-redis:mini', as: 'CACHE', options: { version: '7' } },
      ],
      buildpacks: ['heroku/nodejs'],
      postdeploy: { command: 'node seed.js', size: 'basic' },
    });
  });

  test.each([
    [{ env: [] }, 'env must be an object'],
    [{ env: { A: 1 } }, 'env.A must be a string or an object'],
    [{ env: { A: { generator: 'dice' } } }, 'env.A.generator must be "secret"'],
    [
      { formation: { web: { quantity: -1 } } },
      'formation.web.quantity must be a whole number from 0 to 1000',
    ],
    [{ addons: [{}] }, 'addons[0].plan is required'],
    [{ buildpacks: ['heroku/nodejs'] }, 'buildpacks[0] must be an object with a url'],
    [{ scripts: { postdeploy: 1 } }, 'scripts.postdeploy must be a command, or an object with a command'],
    [{ success_url: 'javascript:x' }, 'success_url must be a path or an http:// or https:// URL'],
    [{ environments: { test: { addons: {} } } }, 'environments.test: addons must be an array'],
    [[], 'app.json must be an object'],
  ])('%j is wrong', (json, error) => {
    expect(parse(json).errors).toEqual([error]);
  });

  test('says what is wrong with any JSON under its keys, and never throws', () => {
    const keys = [
      'name',
      'keywords',
      'stack',
      'env',
      'formation',
      'addons',
      'buildpacks',
      'scripts',
      'success_url',
    ];
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...keys), fc.jsonValue()), (json) => {
        for (const error of parse(json).errors) expect(error).toMatch(/\S/);
      }),
    );
    fc.assert(fc.property(fc.string(), (text) => void parseAppJson(text)));
  });

  test('overrides win, and what is required and has no value is named', () => {
    const { manifest } = parse({
      env: { A: 'a', B: { required: true }, C: { generator: 'secret' }, D: { required: false } },
    });
    expect(resolveEnv(manifest.env, { A: 'mine', MORE: 'x' }, () => 'made')).toEqual({
      vars: { A: 'mine', C: 'made', MORE: 'x' },
      errors: ['config var B is required'],
    });
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), (value) => {
        fc.pre(!value.includes('\0'));
        expect(resolveEnv(manifest.env, { B: value }, () => 'made').vars).toMatchObject({ B: value });
      }),
    );
  });
});
