'use strict';
// Keeps files in a bucket, as with Bucketeer on Heroku: PUT and GET /files/<name>, GET /links/<name>, and a list.
const http = require('node:http');
const { pipeline } = require('node:stream/promises');
const { GetObjectCommand, ListObjectsV2Command, S3Client } = require('@aws-sdk/client-s3');
const { Upload } = require('@aws-sdk/lib-storage');
const { getSignedUrl } = require('@aws-sdk/s3-request-presigner');

const Bucket = process.env.BUCKETEER_BUCKET_NAME;
const s3 = new S3Client({
  region: process.env.BUCKETEER_AWS_REGION,
  credentials: {
    accessKeyId: process.env.BUCKETEER_AWS_ACCESS_KEY_ID,
    secretAccessKey: process.env.BUCKETEER_AWS_SECRET_ACCESS_KEY,
  },
});

async function answer(request, response) {
  const [, action, name] = /^\/(files|links)\/([\w.-]+)$/.exec(request.url) ?? [];
  const Key = `files/${name}`;
  if (request.url === '/') {
    const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket, Prefix: 'files/' }));
    response.end(`${JSON.stringify(Contents.map(({ Key: key, Size: size }) => ({ key, size })))}\n`);
  } else if (action === 'files' && request.method === 'PUT') {
    // In parts of 5 MB where it is longer than one.
    const ContentType = request.headers['content-type'];
    const { ETag } = await new Upload({
      client: s3,
      params: { Bucket, Key, Body: request, ContentType },
    }).done();
    response.end(`${ETag}\n`);
  } else if (action === 'files') {
    const { Body, ContentLength, ContentType } = await s3.send(
      new GetObjectCommand({ Bucket, Key, Range: request.headers.range }),
    );
    response.writeHead(request.headers.range ? 206 : 200, {
      'Content-Type': ContentType,
      'Content-Length': ContentLength,
    });
    await pipeline(Body, response);
  } else if (action === 'links') {
    response.end(`${await getSignedUrl(s3, new GetObjectCommand({ Bucket, Key }), { expiresIn: 60 })}\n`);
  } else {
    response.statusCode = 404;
    response.end('Not found\n');
  }
}

http
  .createServer((request, response) => {
    answer(request, response).catch((error) => {
      console.error(error.name, error.message);
      if (response.headersSent) return response.destroy();
      response.statusCode = error.$metadata?.httpStatusCode ?? 503;
      return response.end(`${error.name}: ${error.message}\n`);
    });
  })
  .listen(process.env.PORT);
