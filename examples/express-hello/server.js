'use strict';
const express = require('express');

const port = Number(process.env.PORT ?? 5000);
const app = express();

app.get('/', (request, response) => {
  response.type('text').send(`Hello from Express on ${process.env.DYNO ?? 'no dyno'}\n`);
});

const server = app.listen(port, () => console.log(`Listening on port ${port}`));

// A dyno is asked to end with SIGTERM and killed 30 seconds later.
process.on('SIGTERM', () => {
  server.close(() => process.exit(0));
  server.closeAllConnections();
});
