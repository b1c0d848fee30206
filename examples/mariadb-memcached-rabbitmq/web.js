'use strict';
// Each visit is a row in MariaDB, a count in memcached and a message in RabbitMQ, which the worker handles.
const http = require('node:http');
const memjs = require('memjs');
const database = require('./database');
const { QUEUE, channel } = require('./queue');

// By MEMCACHIER_SERVERS, MEMCACHIER_USERNAME and MEMCACHIER_PASSWORD.
const cache = memjs.Client.create();

async function visit() {
  const db = await database();
  const queue = await channel();
  const [{ insertId }] = await db.query('INSERT INTO visits () VALUES ()');
  queue.sendToQueue(QUEUE, Buffer.from(JSON.stringify({ visit: insertId })), { persistent: true });
  await queue.waitForConfirms();
  const { value: cached } = await cache.increment('visits', 1, { initial: 1 });
  const [[{ visits, handled }]] = await db.query(
    'SELECT COUNT(*) AS visits, COUNT(handled_at) AS handled FROM visits',
  );
  const { messageCount: waiting } = await queue.checkQueue(QUEUE);
  return { visit: insertId, visits, cached, waiting, handled };
}

http
  .createServer((request, response) => {
    visit().then(
      (counts) => response.end(`${JSON.stringify(counts)}\n`),
      (error) => {
        response.statusCode = 503;
        response.end(`${error.message}\n`);
      },
    );
  })
  .listen(process.env.PORT);
