"""Lets a program of howdah do what it is there for, so that a compiler may learn from it (.ci/package/build)."""
import contextlib
import os
import sys
import tempfile

from parts import DIFFERENT, MODES, Cluster, certificate, end, scram, start_howdah
from wire import Client

target, program, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3])
ROWS = "SELECT repeat('x', 100) FROM generate_series(1, 20000)"
LINES, TIMES = (b"x" * 100 + b"\n") * 64, 500


@contextlib.contextmanager
def at_work(config=""):
    """The port of the program, which then ends and leaves its counts."""
    port, process = start_howdah(target, cluster.nodes, config, program=program, stderr=sys.stderr)
    try:
        yield port
    finally:
        end({"howdah": (port, process)})


cluster = Cluster(target, 1)
try:
    print("| what | clients | how many |")
    print("|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="howdah-bench-") as directory:
        with open(f"{directory}/different", "w") as file:
            file.write(DIFFERENT.format(10_000))
        with at_work(certificate(directory) + scram(cluster, directory)[0]) as port:
            os.environ["PGSSLMODE"] = "disable"
            for mode in MODES:
                # Alone, with a server for each, with fewer servers than clients.
                for clients in (1, 16, 64):
                    print(f"| queries, {mode} | {clients} | {cluster.select(port, mode, clients, seconds)[0]:,} |")
                print(f"| transactions, {mode} | 8 | {cluster.load(port, 8, seconds, '-M', mode)[0]:,} |")
            print(f"| connections with SCRAM | 8 | {cluster.select(port, 'simple', 8, seconds, '-C')[0]:,} |")
            print(f"| different statements | 16 | {cluster.load(port, 16, seconds, '-f', f'{directory}/different')[0]:,} |")
            os.environ["PGSSLMODE"] = "require"
            print(f"| queries with TLS | 16 | {cluster.select(port, 'simple', 16, seconds)[0]:,} |")
            print(f"| connections with TLS and SCRAM | 8 | {cluster.select(port, 'simple', 8, seconds, '-C')[0]:,} |")
            os.environ["PGSSLMODE"] = "prefer"
    with at_work("[policies]\nremember = false\n") as port:
        for mode in MODES:
            print(f"| queries, {mode}, the policy asked | 16 | {cluster.select(port, mode, 16, seconds)[0]:,} |")
    cluster.sql("CREATE UNLOGGED TABLE swallowed (line text)")
    # This client knows no passwords.
    with at_work() as port, contextlib.closing(Client(port)) as client:
        count = 0
        for _ in range(3 * seconds):
            count += client.query(ROWS) + client.query(f"COPY ({ROWS}) TO STDOUT")
            count += client.copy_in("COPY swallowed FROM STDIN", LINES, TIMES)
        print(f"| bytes | 1 | {count:,} |")
finally:
    cluster.end()
