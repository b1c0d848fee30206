'use strict';
// Works without being asked: `heroku ps:scale worker=1`, then `heroku logs --tail`.
const { describe } = require('./process-type');

const intervalMs = Number(process.env.WORK_INTERVAL_MS ?? 10_000);
let jobs = 0;

console.log(`${describe()}, a job every ${intervalMs} ms`);
const timer = setInterval(() => {
  jobs += 1;
  console.log(`Job ${jobs} done`);
}, intervalMs);

// A job that is under way could be finished here.
process.on('SIGTERM', () => {
  console.log(`SIGTERM received after ${jobs} jobs`);
  clearInterval(timer);
});
