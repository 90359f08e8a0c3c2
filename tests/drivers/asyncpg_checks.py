"""asyncpg with its default settings. Usage: asyncpg_checks.py DSN"""
import asyncio
import datetime
import decimal
import sys

import asyncpg

from checks import equal, tell
import checks

dsn = sys.argv[1]


async def refused(kind, awaitable):
    """The error that this ends with, which must be of this kind."""
    try:
        await awaitable
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


async def types(conn):
    moment = datetime.datetime(2026, 2, 3, 4, 5, 6, tzinfo=datetime.timezone.utc)
    values = (41, "héllo ☃", None, moment, [1, 2, None], decimal.Decimal("1.50"), '{"a": 1}', b"\x00\xff")
    sql = "SELECT $1::int + 1, $2::text, $3::text, $4::timestamptz, $5::int[], $6::numeric, $7::jsonb, $8::bytea"
    equal(tuple(await conn.fetchrow(sql, *values)), (42, *values[1:]))


async def prepared(conn):
    async def work():
        mine = await asyncpg.connect(dsn)
        statement = await mine.prepare("SELECT $1::int * 2")
        for i in range(40):
            equal(await statement.fetchval(i), 2 * i)
            equal(await mine.fetchval("SELECT $1::int * 3", i), 3 * i)
        await mine.close()

    await asyncio.gather(*(work() for _ in range(8)))


async def transactions(conn):
    async with conn.transaction():
        await conn.execute("INSERT INTO t VALUES (1, 'one')")
        inner = conn.transaction()
        await inner.start()
        await conn.execute("UPDATE t SET name = 'changed'")
        await inner.rollback()
        equal(await conn.fetchval("SELECT name FROM t WHERE id = 1"), "one")
    outer = conn.transaction()
    await outer.start()
    await conn.execute("DELETE FROM t")
    await outer.rollback()
    async with conn.transaction():
        equal(await conn.fetchval("SELECT count(*) FROM t"), 1)


async def errors(conn):
    equal((await refused(asyncpg.PostgresError, conn.fetch("SELECT * FROM nowhere"))).sqlstate, "42P01")
    failing = conn.transaction()
    await failing.start()
    await refused(asyncpg.DivisionByZeroError, conn.fetch("SELECT 1/0"))
    await refused(asyncpg.InFailedSQLTransactionError, conn.fetch("SELECT 1"))
    await failing.rollback()
    equal(await conn.fetchval("SELECT 1"), 1)


async def cursor(conn):
    async with conn.transaction():
        equal(len([row async for row in conn.cursor("SELECT generate_series(1, 5000)", prefetch=100)]), 5000)


async def batch(conn):
    await conn.executemany("INSERT INTO t VALUES ($1, $2)", [(i, "many") for i in range(100, 1100)])
    async with conn.transaction():
        equal(await conn.fetchval("SELECT count(*) FROM t WHERE name = 'many'"), 1000)


async def copy(conn):
    await conn.copy_records_to_table("t", records=[(i, "copied") for i in range(2000, 7000)])
    lines = bytearray()

    async def keep(data):
        lines.extend(data)

    async with conn.transaction():
        await conn.copy_from_query("SELECT * FROM t WHERE name = 'copied'", output=keep)
    equal(lines.count(b"\n"), 5000)


async def cancel(conn):
    await refused(TimeoutError, conn.fetch("SELECT pg_sleep(60)", timeout=0.2))
    equal(await conn.fetchval("SELECT 1"), 1)


async def notify(conn):
    heard = asyncio.get_running_loop().create_future()
    await conn.add_listener("asyncpg", lambda *note: heard.set_result(note[3]))
    other = await asyncpg.connect(dsn)
    await other.execute("NOTIFY asyncpg, 'hello'")
    equal(await asyncio.wait_for(heard, 20), "hello")
    await other.close()


async def settings(conn):
    other = await asyncpg.connect(dsn)
    default = await other.fetchval("SHOW TimeZone")
    await conn.execute("SET TimeZone TO 'Asia/Tokyo'")
    for _ in range(20):
        equal(await conn.fetchval("SHOW TimeZone"), "Asia/Tokyo")
        equal(await other.fetchval("SHOW TimeZone"), default)
    await other.close()
    equal(conn.get_settings().TimeZone, "Asia/Tokyo")


async def temporary(conn):
    await conn.execute("CREATE TEMP TABLE mine AS SELECT 7 AS a")
    other = await asyncpg.connect(dsn)
    await refused(asyncpg.UndefinedTableError, other.fetch("SELECT * FROM mine"))
    await other.close()
    equal(await conn.fetchval("SELECT a FROM mine"), 7)


async def pool(conn):
    shared = await asyncpg.create_pool(dsn, min_size=4, max_size=16)

    async def work(worker):
        for i in range(20):
            async with shared.acquire() as mine, mine.transaction():
                number = 10_000 + 100 * worker + i
                await mine.execute("INSERT INTO t VALUES ($1, 'pooled')", number)
                equal(await mine.fetchval("SELECT name FROM t WHERE id = $1", number), "pooled")

    await asyncio.gather(*(work(i) for i in range(16)))
    await shared.close()


async def large(conn):
    equal(len(await conn.fetchval("SELECT repeat('x', 5000000)")), 5_000_000)
    equal(len(await conn.fetch("SELECT generate_series(1, 100000)")), 100_000)


async def altered(conn):
    # A table changes under a statement that the driver remembers: the driver helps itself by preparing it again.
    async with conn.transaction():
        await conn.execute("INSERT INTO t VALUES (90000, 'here')")
    other = await asyncpg.connect(dsn)
    async with other.transaction():
        equal(len(await other.fetchrow("SELECT * FROM t LIMIT 1")), 2)
    await conn.execute("ALTER TABLE t ADD more int")
    await refused(asyncpg.InvalidCachedStatementError, in_transaction(other, "SELECT * FROM t LIMIT 1"))
    equal(len(await in_transaction(other, "SELECT * FROM t LIMIT 1")), 3)
    await conn.execute("ALTER TABLE t DROP more")
    await other.close()


async def in_transaction(conn, sql):
    async with conn.transaction():
        return await conn.fetchrow(sql)


async def main():
    print(f"# asyncpg {asyncpg.__version__}")
    conn = await asyncpg.connect(dsn)
    await conn.execute("DROP TABLE IF EXISTS t")
    await conn.execute("CREATE TABLE t (id int PRIMARY KEY, name text)")
    await conn.close()
    for check in (types, prepared, transactions, errors, cursor, batch, copy, cancel, notify, settings, temporary, pool, large, altered):
        try:
            conn = await asyncpg.connect(dsn)
            await check(conn)
            await conn.close()
            tell(check.__name__)
        except Exception as error:
            tell(check.__name__, error)


asyncio.run(main())
sys.exit(checks.failed)
