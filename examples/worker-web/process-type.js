'use strict';

/** Which of the Procfile's process types this is, by the dyno's name, e.g. `worker.1`. */
exports.describe = () => {
  const dyno = process.env.DYNO ?? 'local.1';
  return `This is ${dyno}, process type ${dyno.split('.')[0]}`;
};
