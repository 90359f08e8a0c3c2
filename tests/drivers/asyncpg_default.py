"""asyncpg with its default settings. Usage: asyncpg_default.py DSN"""
import asyncio
import sys

import asyncpg

dsn = sys.argv[1]


def check(what, found, expected):
    if found != expected:
        sys.exit(f"asyncpg: {what}: found {found!r}, expected {expected!r}")


async def main():
    conn = await asyncpg.connect(dsn)
    await conn.execute("DROP TABLE IF EXISTS drivers_asyncpg")
    await conn.execute("CREATE TABLE drivers_asyncpg (id int PRIMARY KEY, name text)")
    check("parameters", tuple(await conn.fetchrow("SELECT $1::int + 1, $2::text", 41, "héllo ☃")), (42, "héllo ☃"))
    check("null", await conn.fetchval("SELECT $1::text", None), None)

    for i in range(20):
        await conn.execute("INSERT INTO drivers_asyncpg VALUES ($1, $2)", i, f"name {i}")
    statement = await conn.prepare("SELECT name FROM drivers_asyncpg WHERE id = $1")
    async with conn.transaction():
        for i in range(20):
            check("prepared", await statement.fetchval(i), f"name {i}")

    try:
        async with conn.transaction():
            await conn.execute("UPDATE drivers_asyncpg SET name = 'x'")
            await conn.execute("INSERT INTO drivers_asyncpg VALUES (1, 'twice')")
        sys.exit("asyncpg: a duplicate key was accepted")
    except asyncpg.UniqueViolationError:
        pass
    async with conn.transaction():
        check("rolled back", await conn.fetchval("SELECT name FROM drivers_asyncpg WHERE id = 1"), "name 1")
        try:
            async with conn.transaction():
                await conn.execute("SELECT 1/0")
        except asyncpg.DivisionByZeroError:
            pass
        check("after savepoint", await conn.fetchval("SELECT 7"), 7)

    await conn.executemany("INSERT INTO drivers_asyncpg VALUES ($1, $2)", [(i, f"many {i}") for i in range(100, 1100)])
    await conn.copy_records_to_table("drivers_asyncpg", records=[(i, "copied") for i in range(2000, 3000)])
    async with conn.transaction():
        check("copied", await conn.fetchval("SELECT count(*) FROM drivers_asyncpg"), 2020)
        check("cursor", len([row async for row in conn.cursor("SELECT * FROM drivers_asyncpg")]), 2020)
    try:
        await conn.fetch("SELECT * FROM there_is_no_such_table")
        sys.exit("asyncpg: an unknown table was accepted")
    except asyncpg.UndefinedTableError:
        pass
    check("after error", await conn.fetchval("SELECT 1"), 1)
    check("big", len(await conn.fetchval("SELECT repeat('x', 5000000)")), 5000000)
    await conn.close()

    pool = await asyncpg.create_pool(dsn, min_size=4, max_size=16)

    async def work(worker):
        for _ in range(20):
            async with pool.acquire() as mine, mine.transaction():
                await mine.execute("UPDATE drivers_asyncpg SET name = $1 WHERE id = $2", str(worker), worker)
                check("own write", await mine.fetchval("SELECT name FROM drivers_asyncpg WHERE id = $1", worker), str(worker))

    await asyncio.gather(*(work(i) for i in range(20)))
    async with pool.acquire() as mine:
        await mine.execute("DROP TABLE drivers_asyncpg")
    await pool.close()
    print("asyncpg ok")


asyncio.run(main())
