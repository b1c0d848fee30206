'use strict';
// Sends an e-mail with each visit of /send?to=…, as with Mailgun on Heroku.
const http = require('node:http');
const nodemailer = require('nodemailer');

const { MAILGUN_SMTP_SERVER, MAILGUN_SMTP_PORT, MAILGUN_SMTP_LOGIN, MAILGUN_SMTP_PASSWORD, MAILGUN_DOMAIN } =
  process.env;

const transport = nodemailer.createTransport({
  host: MAILGUN_SMTP_SERVER,
  port: Number(MAILGUN_SMTP_PORT),
  auth: { user: MAILGUN_SMTP_LOGIN, pass: MAILGUN_SMTP_PASSWORD },
});

async function send(to, name) {
  const { response } = await transport.sendMail({
    from: `Shop <orders@${MAILGUN_DOMAIN}>`,
    to,
    subject: `Thank you, ${name}`,
    text: `Dear ${name},\n\nyour parcel is on its way.\n`,
    html: `<h1>Dear ${name.replace(/[<>&]/g, '')},</h1><p>your parcel is on its <a href="https://example.com/track">way</a>.</p>`,
    attachments: [{ filename: 'invoice.csv', content: 'item,price\nparcel,1.00\n' }],
  });
  return response;
}

http
  .createServer((request, response) => {
    const url = new URL(request.url, 'http://localhost');
    if (url.pathname !== '/send') {
      response.end('GET /send?to=ada@example.com&name=Ada\n');
      return;
    }
    send(url.searchParams.get('to'), url.searchParams.get('name') ?? 'friend').then(
      (answer) => response.end(`${answer}\n`),
      (error) => {
        response.statusCode = 503;
        response.end(`${error.message}\n`);
      },
    );
  })
  .listen(process.env.PORT);
