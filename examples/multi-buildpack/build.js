'use strict';
// A page in dist/ for each text in src/.
const fs = require('node:fs');
const path = require('node:path');

const source = path.join(__dirname, 'src');
const target = path.join(__dirname, 'dist');

const escape = (text) => text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);

fs.rmSync(target, { recursive: true, force: true });
fs.mkdirSync(target);
for (const file of fs.readdirSync(source)) {
  const [title, ...body] = fs.readFileSync(path.join(source, file), 'utf8').trim().split('\n');
  const name = `${path.basename(file, '.txt')}.html`;
  const html = `<!doctype html>
<html lang="en">
  <head><meta charset="utf-8"><title>${escape(title)}</title></head>
  <body><h1>${escape(title)}</h1><p>${escape(body.join('\n').trim())}</p><footer>Built by Node.js ${process.version}</footer></body>
</html>
`;
  fs.writeFileSync(path.join(target, name), html);
  console.log(`Built ${name}`);
}
