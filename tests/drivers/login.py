"""Logs in as each line of standard input says, and prints what becomes of it: `in`, or what the server says.
Usage: login.py psycopg|asyncpg; a line is PORT DATABASE USER PASSWORD SSLMODE CHANNEL_BINDING."""
import asyncio
import ssl
import sys

HOST = "127.0.0.1"


def psycopg(port, database, user, password, sslmode, binding):
    import psycopg

    with psycopg.connect(
        host=HOST, port=port, dbname=database, user=user, password=password, sslmode=sslmode, channel_binding=binding
    ) as connection:
        return connection.execute("SELECT 'in'").fetchone()[0]


def asyncpg(port, database, user, password, sslmode, _):
    import asyncpg

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE

    async def login():
        connection = await asyncpg.connect(
            host=HOST, port=port, database=database, user=user, password=password,
            ssl=context if sslmode == "require" else False,
        )
        try:
            return await connection.fetchval("SELECT 'in'")
        finally:
            await connection.close()

    return asyncio.run(login())


login = {"psycopg": psycopg, "asyncpg": asyncpg}[sys.argv[1]]
for line in sys.stdin:
    try:
        outcome = login(*line.split())
    except Exception as error:
        state = getattr(error, "sqlstate", None) or ""
        outcome = f"{state} {error}".strip()
    print(outcome.replace("\n", " "), flush=True)
