'use strict';
// Shows what seed.js has put into the database.
const http = require('node:http');
const { Pool } = require('pg');

const pool = new Pool({ connectionString: process.env.DATABASE_URL, ssl: { rejectUnauthorized: false } });

http
  .createServer((request, response) => {
    pool.query('SELECT text FROM greetings ORDER BY id').then(
      ({ rows }) => response.end(`${rows.map(({ text }) => text).join('\n')}\n`),
      (error) => {
        response.statusCode = 503;
        response.end(`${error.message}\n`);
      },
    );
  })
  .listen(process.env.PORT);
