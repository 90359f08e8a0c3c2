// node-postgres with its default settings. Usage: node node-postgres.js DSN
const { Client, Pool } = require('pg');

const dsn = process.argv[2];

function check(what, found, expected) {
  if (JSON.stringify(found) !== JSON.stringify(expected)) {
    throw new Error(`${what}: found ${JSON.stringify(found)}, expected ${JSON.stringify(expected)}`);
  }
}

async function main() {
  const client = new Client({ connectionString: dsn });
  await client.connect();
  await client.query('DROP TABLE IF EXISTS drivers_node');
  await client.query('CREATE TABLE drivers_node (id int PRIMARY KEY, name text)');
  check('parameters', (await client.query('SELECT $1::int + 1 AS a, $2::text AS b', [41, 'héllo ☃'])).rows, [{ a: 42, b: 'héllo ☃' }]);
  check('null', (await client.query('SELECT $1::text AS a', [null])).rows, [{ a: null }]);
  for (let i = 0; i < 20; i++) {
    await client.query({ name: 'insert', text: 'INSERT INTO drivers_node VALUES ($1, $2)', values: [i, `name ${i}`] });
  }
  await client.query('BEGIN');
  for (let i = 0; i < 20; i++) {
    const found = await client.query({ name: 'select', text: 'SELECT name FROM drivers_node WHERE id = $1', values: [i] });
    check('prepared', found.rows, [{ name: `name ${i}` }]);
  }
  await client.query('COMMIT');

  await client.query('BEGIN');
  await client.query("UPDATE drivers_node SET name = 'x'");
  await client.query("INSERT INTO drivers_node VALUES (1, 'twice')").then(
    () => { throw new Error('a duplicate key was accepted'); },
    (error) => check('sqlstate', error.code, '23505'),
  );
  await client.query('SELECT 1').then(
    () => { throw new Error('a failed transaction went on'); },
    (error) => check('sqlstate', error.code, '25P02'),
  );
  await client.query('ROLLBACK');
  await client.query('BEGIN');
  check('rolled back', (await client.query('SELECT name FROM drivers_node WHERE id = 1')).rows, [{ name: 'name 1' }]);
  await client.query('COMMIT');
  check('big', (await client.query("SELECT repeat('x', 5000000) AS a")).rows[0].a.length, 5000000);
  await client.end();

  const pool = new Pool({ connectionString: dsn, max: 16 });
  await Promise.all([...Array(20).keys()].map(async (worker) => {
    for (let i = 0; i < 20; i++) {
      const mine = await pool.connect();
      await mine.query('BEGIN');
      await mine.query('UPDATE drivers_node SET name = $1 WHERE id = $2', [`${worker}`, worker]);
      check('own write', (await mine.query('SELECT name FROM drivers_node WHERE id = $1', [worker])).rows, [{ name: `${worker}` }]);
      await mine.query('COMMIT');
      mine.release();
    }
  }));
  await pool.query('DROP TABLE drivers_node');
  await pool.end();
  console.log('node-postgres ok');
}

main().catch((error) => {
  console.error(`node-postgres: ${error.message}`);
  process.exit(1);
});
