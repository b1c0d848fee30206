'use strict';
// MariaDB by the variable that jawsdb-maria sets.
const mysql = require('mysql2/promise');

const pool = mysql.createPool(process.env.JAWSDB_MARIA_URL);
let prepared;

/** A pool whose table there is. Tried again with the next call if the server is not there yet. */
module.exports = async function database() {
  prepared ??= pool
    .query('CREATE TABLE IF NOT EXISTS visits (id INT AUTO_INCREMENT PRIMARY KEY, handled_at DATETIME)')
    .catch((error) => {
      prepared = undefined;
      throw error;
    });
  await prepared;
  return pool;
};
