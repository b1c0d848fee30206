'use strict';
// Takes visits out of the queue, one at a time, and notes in the database that they were handled.
const database = require('./database');
const { QUEUE, channel } = require('./queue');

async function work() {
  const db = await database();
  const queue = await channel();
  let open = true;
  // With the connection: what was not acknowledged comes again.
  queue.once('close', () => {
    open = false;
    setTimeout(start, 1000);
  });
  await queue.prefetch(1);
  await queue.consume(QUEUE, async (message) => {
    if (message === null) return;
    const { visit } = JSON.parse(message.content);
    try {
      await db.query('UPDATE visits SET handled_at = NOW() WHERE id = ?', [visit]);
      queue.ack(message);
      console.log(`Visit ${visit} handled`);
    } catch (error) {
      console.error('worker:', error.message);
      setTimeout(() => open && queue.nack(message), 1000);
    }
  });
}

function start() {
  work().catch((error) => {
    console.error('worker:', error.message);
    setTimeout(start, 1000);
  });
}

start();
