'use strict';
// The library under the router without anything around it: bare-http-proxy.js <port> <port of the backend>
const http = require('node:http');
const { createProxyServer } = require('http-proxy');

const [port, backendPort] = process.argv.slice(2).map(Number);
const agent = new http.Agent({ keepAlive: true, maxFreeSockets: 1024 });
const proxy = createProxyServer({ target: `http://127.0.0.1:${backendPort}`, agent });
// A client that went away; the benchmark counts answers.
proxy.on('error', (_error, _request, response) => response.destroy());
http.createServer((request, response) => proxy.web(request, response)).listen(port, '127.0.0.1');
