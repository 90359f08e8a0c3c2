"""psycopg 3 with its default settings. Usage: psycopg_checks.py DSN"""
import datetime
import decimal
import sys
import threading

import psycopg
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from checks import equal, raises, tell
import checks

dsn = sys.argv[1]


def connect():
    return psycopg.connect(dsn, autocommit=True)


def types(conn):
    moment = datetime.datetime(2026, 2, 3, 4, 5, 6, tzinfo=datetime.timezone.utc)
    values = (41, "héllo ☃", None, moment, [1, 2, None], decimal.Decimal("1.50"), Jsonb({"a": 1}), b"\x00\xff")
    sql = "SELECT %s::int + 1, %s, %s::text, %s, %s::int[], %s, %s, %s"
    expected = (42, "héllo ☃", None, moment, [1, 2, None], decimal.Decimal("1.50"), {"a": 1}, b"\x00\xff")
    equal(conn.execute(sql, values).fetchone(), expected)


def prepared(conn):
    # From the sixth time on a statement is prepared; from then on it has to follow the session.
    def work():
        with connect() as mine:
            for i in range(40):
                equal(mine.execute("SELECT %s::int * 2", (i,)).fetchone(), (2 * i,))

    at_once(8, work)


def at_once(clients, work):
    failures = []

    def guarded():
        try:
            work()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def transactions(conn):
    with conn.transaction():
        conn.execute("INSERT INTO t VALUES (1, 'one')")
        with conn.transaction(force_rollback=True):
            conn.execute("UPDATE t SET name = 'changed'")
        equal(conn.execute("SELECT name FROM t WHERE id = 1").fetchone(), ("one",))
    with conn.transaction(force_rollback=True):
        conn.execute("DELETE FROM t")
    with conn.transaction():
        equal(conn.execute("SELECT count(*) FROM t").fetchone(), (1,))


def errors(conn):
    equal(raises(psycopg.Error, lambda: conn.execute("SELECT * FROM nowhere")).sqlstate, "42P01")
    with conn.transaction(force_rollback=True):
        raises(psycopg.errors.DivisionByZero, lambda: conn.execute("SELECT 1/0"))
        raises(psycopg.errors.InFailedSqlTransaction, lambda: conn.execute("SELECT 1"))
    equal(conn.execute("SELECT 1").fetchone(), (1,))


def cursor(conn):
    with conn.transaction(), conn.cursor(name="on the server") as rows:
        rows.itersize = 100
        rows.execute("SELECT generate_series(1, 5000)")
        equal(sum(1 for _ in rows), 5000)


def batch(conn):
    with conn.pipeline():
        answers = [conn.execute("SELECT %s::int", (i,)) for i in range(50)]
    equal([answer.fetchone()[0] for answer in answers], list(range(50)))
    conn.cursor().executemany("INSERT INTO t VALUES (%s, %s)", [(i, "many") for i in range(100, 200)])
    with conn.transaction():
        equal(conn.execute("SELECT count(*) FROM t WHERE name = 'many'").fetchone(), (100,))


def copy(conn):
    with conn.cursor() as rows:
        with rows.copy("COPY t FROM STDIN") as sent:
            for i in range(1000, 6000):
                sent.write_row((i, "copied"))
        with conn.transaction(), rows.copy("COPY (SELECT * FROM t WHERE name = 'copied') TO STDOUT") as found:
            equal(sum(1 for _ in found.rows()), 5000)


def cancel(conn):
    timer = threading.Timer(0.2, conn.cancel)
    timer.start()
    raises(psycopg.errors.QueryCanceled, lambda: conn.execute("SELECT pg_sleep(60)"))
    timer.join()
    equal(conn.execute("SELECT 1").fetchone(), (1,))


def notify(conn):
    with connect() as other:
        conn.execute("LISTEN psycopg")
        other.execute("NOTIFY psycopg, 'hello'")
        equal([note.payload for note in conn.notifies(timeout=20, stop_after=1)], ["hello"])


def settings(conn):
    with connect() as other:
        default = other.execute("SHOW TimeZone").fetchone()
        conn.execute("SET TimeZone TO 'Asia/Tokyo'")
        for _ in range(20):
            equal(conn.execute("SHOW TimeZone").fetchone(), ("Asia/Tokyo",))
            equal(other.execute("SHOW TimeZone").fetchone(), default)
        equal((conn.info.timezone.key, conn.info.parameter_status("TimeZone")), ("Asia/Tokyo", "Asia/Tokyo"))


def temporary(conn):
    conn.execute("CREATE TEMP TABLE mine AS SELECT 7 AS a")
    with connect() as other:
        raises(psycopg.errors.UndefinedTable, lambda: other.execute("SELECT * FROM mine"))
    equal(conn.execute("SELECT a FROM mine").fetchone(), (7,))


def pool(conn):
    numbers = iter(range(10_000, 20_000))

    def work():
        for _ in range(20):
            with shared.connection() as mine:
                number = next(numbers)
                mine.execute("INSERT INTO t VALUES (%s, 'pooled')", (number,))
                equal(mine.execute("SELECT name FROM t WHERE id = %s", (number,)).fetchone(), ("pooled",))

    with ConnectionPool(dsn, min_size=4, max_size=16) as shared:
        at_once(16, work)


def large(conn):
    equal(len(conn.execute("SELECT repeat('x', 5000000)").fetchone()[0]), 5_000_000)
    equal(len(conn.execute("SELECT generate_series(1, 100000)").fetchall()), 100_000)


print(f"# psycopg {psycopg.__version__}")
with connect() as conn:
    conn.execute("DROP TABLE IF EXISTS t")
    conn.execute("CREATE TABLE t (id int PRIMARY KEY, name text)")
for check in (types, prepared, transactions, errors, cursor, batch, copy, cancel, notify, settings, temporary, pool, large):
    try:
        with connect() as conn:
            check(conn)
        tell(check.__name__)
    except Exception as error:
        tell(check.__name__, error)
sys.exit(checks.failed)
