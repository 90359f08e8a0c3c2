"""Lets a program of howdah do what it is there for, so that a compiler may learn from it (.ci/package/build)."""
import sys
import tempfile

from parts import Cluster, end, scram, start_howdah
from wire import Client

target, program, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3])
ROWS = "SELECT repeat('x', 100) FROM generate_series(1, 20000)"
LINES, TIMES = (b"x" * 100 + b"\n") * 64, 500

cluster = Cluster(target, 1)
with tempfile.TemporaryDirectory(prefix="howdah-bench-") as directory:
    howdah, _ = scram(cluster, directory)
    port, process = start_howdah(target, cluster.nodes, howdah, program=program, stderr=sys.stderr)
    try:
        print("| what | clients | how many |")
        print("|---|---|---|")
        for mode in ("simple", "extended", "prepared"):
            # Alone, with a server for each, with fewer servers than clients.
            for clients in (1, 16, 64):
                print(f"| queries, {mode} | {clients} | {cluster.select(port, mode, clients, seconds)[0]:,} |")
            print(f"| transactions, {mode} | 8 | {cluster.load(port, 8, seconds, '-M', mode)[0]:,} |")
        print(f"| connections with SCRAM | 8 | {cluster.select(port, 'simple', 8, seconds, '-C')[0]:,} |")
    finally:
        end({"howdah": (port, process)})
    cluster.sql("CREATE UNLOGGED TABLE swallowed (line text)")
    # Without a password.
    port, process = start_howdah(target, cluster.nodes, program=program, stderr=sys.stderr)
    try:
        client, count = Client(port), 0
        for _ in range(3 * seconds):
            count += client.query(ROWS) + client.query(f"COPY ({ROWS}) TO STDOUT")
            count += client.copy_in("COPY swallowed FROM STDIN", LINES, TIMES)
        client.close()
        print(f"| bytes | 1 | {count:,} |")
    finally:
        end({"howdah": (port, process)})
        cluster.end()
