const http = require('node:http');

const server = http.createServer((request, response) => {
  response.end(`${process.env.GREETING ?? 'Hello'}, built for ${process.env.BUILT_FOR}\n`);
});
server.listen(process.env.PORT, () => console.log(`Listening on ${process.env.PORT}`));
process.on('SIGTERM', () => process.exit(0));
