'use strict';
// What script/demo needs of the Platform API and of the app, without asking for curl or the heroku CLI.
//   create        makes an app called demo (or with another name if that is taken), prints its name
//   ensure NAME   makes it again if it was destroyed meanwhile, prints its name
//   visit NAME    asks the app for its page, prints the answer
const http = require('node:http');

const { HEROKU_HOST, HEROKU_API_KEY } = process.env;
const headers = {
  Authorization: `Bearer ${HEROKU_API_KEY}`,
  Accept: 'application/vnd.heroku+json; version=3',
  'Content-Type': 'application/json',
};

async function api(method, path, body) {
  const response = await fetch(`${HEROKU_HOST}${path}`, {
    method,
    headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: await response.json() };
}

async function create(name) {
  const created = await api('POST', '/apps', name === undefined ? {} : { name });
  if (created.status === 422 && name !== undefined) return create(undefined);
  if (created.status >= 300) throw new Error(created.body.message);
  return created.body.name;
}

async function ensure(name) {
  const { status } = await api('GET', `/apps/${name}`);
  return status === 404 ? create(name) : name;
}

async function visit(name) {
  const { body } = await api('GET', `/apps/${name}`);
  const url = new URL(body.web_url);
  const answer = await new Promise((resolve, reject) => {
    // Not every resolver knows that names below localhost are this machine.
    http
      .get({ host: '127.0.0.1', port: url.port, path: url.pathname, headers: { Host: url.host } }, resolve)
      .on('error', reject);
  });
  let text = '';
  for await (const chunk of answer) text += chunk;
  console.log(`GET ${url.href}\nHTTP ${answer.statusCode}\n${text.trim()}`);
  if (answer.statusCode !== 200) process.exitCode = 1;
}

const [action, name] = process.argv.slice(2);
const actions = {
  create: async () => console.log(await create('demo')),
  ensure: async () => console.log(await ensure(name)),
  visit: () => visit(name),
};
actions[action]().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
