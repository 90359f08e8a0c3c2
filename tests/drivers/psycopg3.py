"""psycopg 3 with its default settings. Usage: psycopg3.py DSN"""
import sys
import threading

import psycopg

dsn = sys.argv[1]


def check(what, found, expected):
    if found != expected:
        sys.exit(f"psycopg: {what}: found {found!r}, expected {expected!r}")


with psycopg.connect(dsn, autocommit=True) as conn:
    conn.execute("DROP TABLE IF EXISTS drivers_psycopg")
    conn.execute("CREATE TABLE drivers_psycopg (id int PRIMARY KEY, name text)")

    check("parameters", conn.execute("SELECT %s::int + 1, %s", (41, "héllo ☃")).fetchone(), (42, "héllo ☃"))
    check("null", conn.execute("SELECT %s::text", (None,)).fetchone(), (None,))

    # From the sixth time on the statement is prepared; from then on it has to follow the session.
    for i in range(20):
        conn.execute("INSERT INTO drivers_psycopg VALUES (%s, %s)", (i, f"name {i}"))
    with conn.transaction():
        for i in range(20):
            row = conn.execute("SELECT name FROM drivers_psycopg WHERE id = %s", (i,)).fetchone()
            check("prepared select", row, (f"name {i}",))

    with conn.transaction():
        conn.execute("UPDATE drivers_psycopg SET name = 'changed' WHERE id = 1")
        try:
            with conn.transaction():
                conn.execute("INSERT INTO drivers_psycopg VALUES (1, 'twice')")
            sys.exit("psycopg: a duplicate key was accepted")
        except psycopg.errors.UniqueViolation:
            pass
        check("after savepoint", conn.execute("SELECT name FROM drivers_psycopg WHERE id = 1").fetchone(), ("changed",))

    try:
        with conn.transaction():
            conn.execute("DELETE FROM drivers_psycopg")
            raise psycopg.Rollback()
    except psycopg.Rollback:
        pass
    with conn.transaction():
        check("rolled back", conn.execute("SELECT count(*) FROM drivers_psycopg").fetchone(), (20,))

    try:
        conn.execute("SELECT 1/0")
        sys.exit("psycopg: a division by zero was accepted")
    except psycopg.errors.DivisionByZero:
        pass
    check("after error", conn.execute("SELECT 1").fetchone(), (1,))

    with conn.cursor() as cursor:
        with cursor.copy("COPY drivers_psycopg FROM STDIN") as copy:
            for i in range(100, 5100):
                copy.write_row((i, f"copied {i}"))
        with conn.transaction():
            total = 0
            with cursor.copy("COPY drivers_psycopg TO STDOUT") as copy:
                for row in copy.rows():
                    total += 1
            check("copy", total, 5020)

    with conn.transaction(), conn.cursor(name="server_side") as cursor:
        cursor.execute("SELECT id FROM drivers_psycopg ORDER BY id")
        cursor.itersize = 100
        check("server-side cursor", sum(1 for _ in cursor), 5020)

    check("big", len(conn.execute("SELECT repeat('x', 5000000)").fetchone()[0]), 5000000)

    with conn.pipeline():
        answers = [conn.execute("SELECT %s::int", (i,)) for i in range(50)]
        conn.execute("INSERT INTO drivers_psycopg VALUES (9999, 'piped')")
    check("pipeline", [answer.fetchone()[0] for answer in answers], list(range(50)))


def work(worker):
    with psycopg.connect(dsn, autocommit=True) as mine:
        for i in range(30):
            with mine.transaction():
                mine.execute("UPDATE drivers_psycopg SET name = %s WHERE id = %s", (f"{worker}", worker))
                check("own write", mine.execute("SELECT name FROM drivers_psycopg WHERE id = %s", (worker,)).fetchone(), (f"{worker}",))


failures = []
threading.excepthook = lambda args: failures.append(args.exc_value)
threads = [threading.Thread(target=work, args=(i,)) for i in range(16)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
if failures:
    sys.exit(f"psycopg: concurrent clients: {failures[0]}")
with psycopg.connect(dsn, autocommit=True) as conn:
    conn.execute("DROP TABLE drivers_psycopg")
print("psycopg ok")
