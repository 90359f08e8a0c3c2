"""Lets a program of howdah do what it is there for, so that a compiler may learn from it (.ci/package/build)."""
import os
import subprocess
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
        for mode in ("simple", "extended", "prepared"):
            # Alone, with a server for each, with fewer servers than clients.
            for clients in (1, 16, 64):
                cluster.select(port, mode, clients, seconds)
            # Writes, in transactions.
            cluster.load(port, 8, seconds, "-M", mode)
        cluster.select(port, "simple", 8, seconds, "-C")
    finally:
        end({"howdah": (port, process)})
    cluster.sql("CREATE UNLOGGED TABLE swallowed (line text)")
    # Without a password.
    port, process = start_howdah(target, cluster.nodes, program=program, stderr=sys.stderr)
    try:
        client = Client(port)
        for _ in range(3 * seconds):
            client.query(ROWS)
            client.query(f"COPY ({ROWS}) TO STDOUT")
            client.copy_in("COPY swallowed FROM STDIN", LINES, TIMES)
        client.close()
    finally:
        end({"howdah": (port, process)})
        cluster.end()
