'use strict';
// RabbitMQ by the variable that cloudamqp sets. The client does not connect anew by itself.
const amqp = require('amqplib');

const QUEUE = 'visits';
let opened;

/** A channel that confirms, on a queue that outlives the server. Opened anew after the connection was lost. */
async function channel() {
  opened ??= open().catch((error) => {
    opened = undefined;
    throw error;
  });
  return opened;
}

async function open() {
  const connection = await amqp.connect(process.env.CLOUDAMQP_URL);
  connection.on('error', (error) => console.error('rabbitmq:', error.message));
  connection.on('close', () => (opened = undefined));
  const made = await connection.createConfirmChannel();
  await made.assertQueue(QUEUE, { durable: true });
  return made;
}

module.exports = { QUEUE, channel };
