import { STATUS_CODES } from 'node:http';

/** `HTTP/1.1 200 OK` and its line end; the standard's reason unless one is given. */
export function statusLine(status: number, reason = STATUS_CODES[status] ?? ''): string {
  return `HTTP/1.1 ${status} ${reason}\r\n`;
}
