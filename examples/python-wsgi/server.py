"""Serves a WSGI app with threads, as the standard library has it."""

import os
import socketserver
import sys
from wsgiref.simple_server import WSGIServer, make_server

from greeting import greet


class Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


def app(environ, start_response):
    name = environ['PATH_INFO'].strip('/') or os.environ.get('DYNO', 'no dyno')
    body = greet(name, sys.version.split()[0]).encode()
    start_response('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', str(len(body)))])
    return [body]


if __name__ == '__main__':
    port = int(os.environ.get('PORT', '5000'))
    print(f'Listening on port {port}')
    make_server('', port, app, Server).serve_forever()
