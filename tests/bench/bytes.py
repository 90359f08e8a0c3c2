"""Large results and COPY: how many bytes pass for each second of the proxy's CPU time, and what memory that takes."""
import statistics
import sys
import time

from parts import Cluster, end, family_seconds, heading, keep, peak_memory, start_haproxy, start_howdah, start_pgbouncer, \
    started
from wire import Client

target, seconds, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

# 32 MB each.
ROWS = "SELECT repeat('x', 1000) FROM generate_series(1, 32000)"
LINES, TIMES = (b"x" * 1_000 + b"\n") * 64, 500
LOADS = {
    "a result": lambda client: client.query(ROWS),
    "COPY TO": lambda client: client.query(f"COPY ({ROWS}) TO STDOUT"),
    "COPY FROM": lambda client: client.copy_in("COPY swallowed FROM STDIN", LINES, TIMES),
}


def measure(port, process, load):
    """Megabytes per second of CPU time, and per second."""
    client = Client(port)
    before, began, count = family_seconds(process.pid), time.time(), 0
    while time.time() < began + seconds:
        count += load(client)
    took = time.time() - began
    client.close()
    return count / 1e6 / (family_seconds(process.pid) - before), count / 1e6 / took


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
    for _ in range(rounds):
        for name, load in LOADS.items():
            for proxy, (port, process) in proxies.items():
                results.setdefault((name, proxy), []).append(measure(port, process, load))
    grown = {name: peak_memory(process.pid) - memory[name] for name, (_, process) in proxies.items()}
    print(heading(cluster, proxies, target, f"one client, medians of {rounds} interleaved rounds of {seconds} s"))
finally:
    end(proxies)
    cluster.end()

print("| | | MB per CPU second | MB per second | × HAProxy, per CPU second | memory grown by, KiB, in all |")
print("|---|---|---|---|---|---|")
for load in LOADS:
    median = lambda proxy, i: statistics.median(run[i] for run in results[load, proxy])
    for proxy in proxies:
        ratio = f"{median(proxy, 0) / median('HAProxy', 0):.2f}" if "HAProxy" in proxies else ""
        print(f"| {load} | {proxy} | {median(proxy, 0):,.0f} | {median(proxy, 1):,.0f} | {ratio} | {grown[proxy]:,} |")
        if proxy == "howdah" and ratio:
            keep({f"bytes, {load}": float(ratio), "memory grown": grown[proxy]})
