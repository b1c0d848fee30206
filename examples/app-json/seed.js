'use strict';
// Runs once, after the first deploy: see scripts.postdeploy in app.json.
const { Client } = require('pg');

async function seed() {
  const client = new Client({
    connectionString: process.env.DATABASE_URL,
    ssl: { rejectUnauthorized: false },
  });
  await client.connect();
  await client.query('CREATE TABLE greetings (id serial PRIMARY KEY, text text NOT NULL)');
  for (const greeting of [process.env.GREETING, 'Welcome']) {
    await client.query('INSERT INTO greetings (text) VALUES ($1)', [`${greeting}, ${process.env.GREETED}!`]);
  }
  await client.end();
  console.log('seeded 2 greetings');
}

seed().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
