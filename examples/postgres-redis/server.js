'use strict';
// Counts its visits in Postgres and in Redis, with the usual clients and the variables that the add-ons set.
const http = require('node:http');
const { Pool } = require('pg');
const { createClient } = require('redis');

const pool = new Pool({ connectionString: process.env.DATABASE_URL, ssl: { rejectUnauthorized: false } });
const redis = createClient({ url: process.env.REDIS_URL });
redis.on('error', (error) => console.error('redis:', error.message));

async function visit() {
  await pool.query('INSERT INTO visits (at) VALUES (now())');
  const { rows } = await pool.query('SELECT count(*)::int AS count FROM visits');
  return { postgres: rows[0].count, redis: await redis.incr('visits') };
}

const ready = (async () => {
  await redis.connect();
  await pool.query('CREATE TABLE IF NOT EXISTS visits (id serial PRIMARY KEY, at timestamptz NOT NULL)');
})();

http
  .createServer((request, response) => {
    ready.then(visit).then(
      (counts) => response.end(`${JSON.stringify(counts)}\n`),
      (error) => {
        response.statusCode = 503;
        response.end(`${error.message}\n`);
      },
    );
  })
  .listen(process.env.PORT);
