"""Large results and COPY: how many bytes pass for each second of the proxy's CPU time, and what memory that takes."""
import sys
import time

from parts import Cluster, end, family_seconds, heading, in_turn, keep, peak_memory, start_haproxy, start_howdah, start_pgbouncer, \
    started
from wire import Client

# How much comes at a time depends on which core the kernel has each of the three run on, which changes with connections.
TURN = 0.5
target, turns = sys.argv[1], round(int(sys.argv[2]) * int(sys.argv[3]) / TURN)

# 32 MB each.
ROWS = "SELECT repeat('x', 1000) FROM generate_series(1, 32000)"
LINES, TIMES = (b"x" * 1_000 + b"\n") * 64, 500
LOADS = {
    "a result": lambda client: client.query(ROWS),
    "COPY TO": lambda client: client.query(f"COPY ({ROWS}) TO STDOUT"),
    "COPY FROM": lambda client: client.copy_in("COPY swallowed FROM STDIN", LINES, TIMES),
}


def measure(port, process, load):
    """Bytes, seconds of CPU time and seconds of a turn, on a connection of its own."""
    client = Client(port)
    before, began, count = family_seconds(process.pid), time.time(), 0
    while time.time() < began + TURN:
        count += load(client)
    took = time.time() - began
    client.close()
    return count, family_seconds(process.pid) - before, took


def rates(measured):
    """Megabytes per second of CPU time, and per second."""
    count, cpu, took = (sum(column) for column in zip(*measured))
    return count / 1e6 / cpu, count / 1e6 / took


results, proxies = {}, {}
cluster = Cluster(target)
try:
    # What is written to it is thrown away.
    cluster.sql("CREATE UNLOGGED TABLE swallowed (line text)")
    cluster.sql("CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
    cluster.sql("CREATE TRIGGER swallow BEFORE INSERT ON swallowed FOR EACH ROW EXECUTE FUNCTION swallow()")
    proxies = started(howdah=start_howdah(target, cluster.nodes), HAProxy=start_haproxy(cluster.nodes[0]),
                      PgBouncer=start_pgbouncer(cluster.nodes[0]))
    for port, _ in proxies.values():
        client = Client(port)
        client.query("SELECT 1")
        client.close()
    memory = {name: peak_memory(process.pid) for name, (_, process) in proxies.items()}
    for _ in range(turns):
        for name, load in LOADS.items():
            for proxy, (port, process) in in_turn(proxies):
                results.setdefault((name, proxy), []).append(measure(port, process, load))
    grown = {name: peak_memory(process.pid) - memory[name] for name, (_, process) in proxies.items()}
    what = f"one client, {turns} interleaved turns of {TURN} s, each with a connection of its own"
    print(heading(cluster, proxies, target, what))
finally:
    end(proxies)
    cluster.end()

print("| | | MB per CPU second | MB per second | × HAProxy, per CPU second | memory grown by, KiB, in all |")
print("|---|---|---|---|---|---|")
for load in LOADS:
    found = {proxy: rates(results[load, proxy]) for proxy in proxies}
    for proxy, (per_cpu, per_second) in found.items():
        ratio = f"{per_cpu / found['HAProxy'][0]:.2f}" if "HAProxy" in found else ""
        print(f"| {load} | {proxy} | {per_cpu:,.0f} | {per_second:,.0f} | {ratio} | {grown[proxy]:,} |")
        if proxy == "howdah" and ratio:
            keep({f"bytes, {load}": float(ratio), "memory grown": grown[proxy]})
