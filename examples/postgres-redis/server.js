'use strict';
// Counts its visits in Postgres and in Redis, with the usual clients and the variables that the add-ons set.
const http = require('node:http');
const { Pool } = require('pg');
const { createClient } = require('redis');

const pool = new Pool({ connectionString: process.env.DATABASE_URL, ssl: { rejectUnauthorized: false } });
const redis = createClient({ url: process.env.REDIS_URL });
redis.on('error', (error) => console.error('redis:', error.message));
// A server that restarts ends idle connections: the pool makes new ones.
pool.on('error', (error) => console.error('postgres:', error.message));

async function visit() {
  await pool.query('INSERT INTO visits (at) VALUES (now())');
  const { rows } = await pool.query('SELECT count(*)::int AS count FROM visits');
  return { postgres: rows[0].count, redis: await redis.incr('visits') };
}

let ready;
/** Tried again with the next visit if a server is not there yet. */
function prepare() {
  ready ??= (async () => {
    if (!redis.isOpen) await redis.connect();
    await pool.query('CREATE TABLE IF NOT EXISTS visits (id serial PRIMARY KEY, at timestamptz NOT NULL)');
  })().catch((error) => {
    ready = undefined;
    throw error;
  });
  return ready;
}

http
  .createServer((request, response) => {
    prepare()
      .then(visit)
      .then(
        (counts) => response.end(`${JSON.stringify(counts)}\n`),
        (error) => {
          response.statusCode = 503;
          response.end(`${error.message}\n`);
        },
      );
  })
  .listen(process.env.PORT);
