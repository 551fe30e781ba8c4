// The database: customers by the number that they call from, lines by the number that is dialled.
//
// SQLite by Knex, for which there is an official instrumentation (there is none for a SQLite driver). The driver is libsql:
// its binaries come in packages, so nothing is compiled or fetched when it is installed, and it has the interface of
// better-sqlite3, which Knex knows. PostgreSQL or MySQL: `client: 'pg'` or 'mysql2' and a connection, nothing else.

'use strict';

const fs = require('node:fs');
const knex = require('knex');
const Dialect = require('knex/lib/dialects/better-sqlite3');

const FILE = process.env.DATABASE ?? 'customers.db';
const TIMEOUT_MS = Number(process.env.DATABASE_TIMEOUT_MS ?? 150);

class DatabaseError extends Error {}

class Libsql extends Dialect {
  _driver() {
    return require('libsql');
  }

  async acquireRawConnection() {
    if (!fs.existsSync(FILE)) throw new DatabaseError('it has gone'); // else it would be made anew, and empty
    return new this.driver(FILE, { timeout: TIMEOUT_MS }); // for a lock: this driver has Node.js wait meanwhile
  }

  // The driver leaves a statement open that has failed, and what is read over that connection afterwards stays locked for
  // all who write: so that connection is used no more.
  async _query(connection, query) {
    try {
      return await super._query(connection, query);
    } catch (error) {
      connection.hasFailed = true;
      throw error;
    }
  }

  validateConnection(connection) {
    return !connection.hasFailed;
  }
}

Libsql.prototype.driverName = 'sqlite3'; // for the instrumentation: db.system.name is sqlite

const EXAMPLE = `
CREATE TABLE customers (number TEXT PRIMARY KEY, queue TEXT NOT NULL, blocked INTEGER NOT NULL);
CREATE TABLE lines (number TEXT PRIMARY KEY, trunk TEXT NOT NULL);
INSERT INTO customers VALUES ('+441632960001', 'gold', 0), ('+441632960002', 'silver', 1);
INSERT INTO lines VALUES ('+441632960100', 'carrier');
`;

// Make the database, if there is none.
function prepare() {
  if (fs.existsSync(FILE)) return;
  const database = new (require('libsql'))(FILE);
  database.exec(EXAMPLE);
  database.close();
}

const database = knex({
  client: Libsql,
  connection: { filename: FILE },
  useNullAsDefault: true,
  compileSqlOnError: false, // else errors hold the query with the number in it, and spans hold errors
  pool: { min: 0, max: 4 },
  acquireConnectionTimeout: TIMEOUT_MS,
});

// Who calls from this number: {queue, blocked}, or undefined.
function findCustomer(number) {
  return firstOf(database('customers').select('queue', 'blocked').where({ number }));
}

// The trunk behind which this number is, or undefined.
async function findTrunk(number) {
  return (await firstOf(database('lines').select('trunk').where({ number })))?.trunk;
}

async function firstOf(query) {
  try {
    return (await query)[0];
  } catch (error) {
    throw new DatabaseError(error.code ?? error.name);
  }
}

function close() {
  return database.destroy();
}

module.exports = { DatabaseError, close, findCustomer, findTrunk, prepare };
