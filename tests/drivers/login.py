"""Logs in as each line of standard input says, and prints what becomes of it: `in`, or what the server says.
Usage: login.py psycopg|asyncpg; a line is PORT DATABASE USER PASSWORD SSLMODE CHANNEL_BINDING CERTIFICATE, which is
where a certificate is (.crt) and its key (.key), or -."""
import asyncio
import ssl
import sys

HOST = "127.0.0.1"


def psycopg(port, database, user, password, sslmode, binding, certificate):
    import psycopg

    files = {} if certificate == "-" else {"sslcert": certificate + ".crt", "sslkey": certificate + ".key"}
    with psycopg.connect(
        host=HOST, port=port, dbname=database, user=user, password=password, sslmode=sslmode, channel_binding=binding,
        **files
    ) as connection:
        return connection.execute("SELECT 'in'").fetchone()[0]


def asyncpg(port, database, user, password, sslmode, _, certificate):
    import asyncpg

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if certificate != "-":
        context.load_cert_chain(certificate + ".crt", certificate + ".key")

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
