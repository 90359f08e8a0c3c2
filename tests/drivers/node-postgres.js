// node-postgres with its default settings, its pool and its cursor. Usage: node node-postgres.js DSN
const assert = require('node:assert/strict');
const { Client, Pool } = require('pg');
const Cursor = require('pg-cursor');

const dsn = process.argv[2];

async function connect() {
  const client = new Client({ connectionString: dsn });
  await client.connect();
  return client;
}

async function rows(client, query, values) {
  return (await client.query(query, values)).rows;
}

const many = (count, make) => [...Array(count).keys()].map(make);
const code = (sqlstate) => (error) => error.code === sqlstate;

const checks = {
  async types(client) {
    const moment = new Date('2026-02-03T04:05:06Z');
    const sql = 'SELECT $1::int + 1 AS a, $2::text AS b, $3::text AS c, $4::timestamptz AS d, $5::int[] AS e, '
      + '$6::numeric AS f, $7::jsonb AS g, $8::bytea AS h';
    const values = [41, 'héllo ☃', null, moment, [1, 2, null], '1.50', { a: 1 }, Buffer.from([0, 255])];
    const [a, b, c, d, e, f, g, h] = [42, ...values.slice(1)];
    assert.deepEqual(await rows(client, sql, values), [{ a, b, c, d, e, f, g, h }]);
  },

  async prepared() {
    await Promise.all(many(8, async () => {
      const client = await connect();
      for (let i = 0; i < 40; i++) {
        assert.deepEqual(await rows(client, { name: 'twice', text: 'SELECT $1::int * 2 AS a', values: [i] }), [{ a: 2 * i }]);
      }
      await client.end();
    }));
  },

  async transactions(client) {
    await client.query('BEGIN');
    await client.query('INSERT INTO t VALUES ($1, $2)', [1, 'one']);
    await client.query('SAVEPOINT s');
    await client.query("UPDATE t SET name = 'changed'");
    await client.query('ROLLBACK TO s');
    assert.deepEqual(await rows(client, 'SELECT name FROM t WHERE id = $1', [1]), [{ name: 'one' }]);
    await client.query('COMMIT');
    await client.query('BEGIN');
    await client.query('DELETE FROM t');
    await client.query('ROLLBACK');
    await client.query('BEGIN');
    assert.deepEqual(await rows(client, 'SELECT count(*)::int AS n FROM t'), [{ n: 1 }]);
    await client.query('COMMIT');
  },

  async errors(client) {
    await assert.rejects(client.query('SELECT * FROM nowhere'), code('42P01'));
    await client.query('BEGIN');
    await assert.rejects(client.query('SELECT 1 / $1::int', [0]), code('22012'));
    await assert.rejects(client.query('SELECT 1'), code('25P02'));
    await client.query('ROLLBACK');
    assert.deepEqual(await rows(client, 'SELECT 1 AS a'), [{ a: 1 }]);
  },

  async cursor(client) {
    const cursor = client.query(new Cursor('SELECT generate_series(1, $1::int) AS a', [5000]));
    let seen = 0;
    for (let batch = await cursor.read(100); batch.length > 0; batch = await cursor.read(100)) {
      seen += batch.length;
    }
    assert.equal(seen, 5000);
    const early = client.query(new Cursor('SELECT generate_series(1, 5000) AS a'));
    assert.deepEqual(await early.read(2), [{ a: 1 }, { a: 2 }]);
    await early.close();
    assert.deepEqual(await rows(client, 'SELECT 1 AS a'), [{ a: 1 }]);
  },

  async batch(client) {
    const found = await Promise.all(many(50, (i) => rows(client, 'SELECT $1::int AS a', [i])));
    assert.deepEqual(found.map(([row]) => row.a), many(50, (i) => i));
    const several = await client.query('SELECT 1 AS a; SELECT 2 AS a');
    assert.deepEqual(several.map((result) => result.rows[0].a), [1, 2]);
  },

  async notify(client) {
    const heard = new Promise((resolve) => { client.on('notification', (note) => resolve(note.payload)); });
    await client.query('LISTEN node');
    const other = await connect();
    await other.query("NOTIFY node, 'hello'");
    assert.equal(await heard, 'hello');
    await other.end();
  },

  async settings(client) {
    const other = await connect();
    const [normal] = await rows(other, 'SHOW TimeZone');
    await client.query("SET TimeZone TO 'Asia/Tokyo'");
    for (let i = 0; i < 20; i++) {
      assert.deepEqual(await rows(client, 'SHOW TimeZone'), [{ TimeZone: 'Asia/Tokyo' }]);
      assert.deepEqual(await rows(other, 'SHOW TimeZone'), [normal]);
    }
    await other.end();
  },

  async temporary(client) {
    await client.query('CREATE TEMP TABLE mine AS SELECT 7 AS a');
    const other = await connect();
    await assert.rejects(other.query('SELECT * FROM mine'), code('42P01'));
    await other.end();
    assert.deepEqual(await rows(client, 'SELECT a FROM mine'), [{ a: 7 }]);
  },

  async pool() {
    const pool = new Pool({ connectionString: dsn, max: 16 });
    await Promise.all(many(20, async (worker) => {
      for (let i = 0; i < 20; i++) {
        const id = 10000 + 100 * worker + i;
        const mine = await pool.connect();
        await mine.query('BEGIN');
        await mine.query("INSERT INTO t VALUES ($1, 'pooled')", [id]);
        assert.deepEqual(await rows(mine, 'SELECT name FROM t WHERE id = $1', [id]), [{ name: 'pooled' }]);
        await mine.query('COMMIT');
        mine.release();
      }
    }));
    await pool.end();
  },

  async large(client) {
    assert.equal((await rows(client, "SELECT repeat('x', 5000000) AS a"))[0].a.length, 5000000);
    assert.equal((await rows(client, 'SELECT generate_series(1, 100000)')).length, 100000);
  },
};

async function main() {
  console.log(`# node-postgres ${require('pg/package.json').version}`);
  const first = await connect();
  await first.query('DROP TABLE IF EXISTS t');
  await first.query('CREATE TABLE t (id int PRIMARY KEY, name text)');
  await first.end();
  for (const [name, check] of Object.entries(checks)) {
    try {
      const client = await connect();
      await check(client);
      await client.end();
      console.log(`ok ${name}`);
    } catch (error) {
      console.log(`not ok ${name}: ${error.message.replaceAll('\n', ' ')}`);
      process.exitCode = 1;
    }
  }
}

// A check that failed may have left connections open.
main().finally(() => process.exit());
