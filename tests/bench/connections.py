"""What a new connection with SCRAM-SHA-256 costs: pgbench connects and says goodbye, without a query."""
import os
import statistics
import sys
import tempfile

from parts import Cluster, end, heading, in_turn, keep, scram, start_howdah, start_pgbouncer, started, \
    with_cost

target, seconds, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
CLIENTS = 16


results, proxies = {}, {}
cluster = Cluster(target)
with tempfile.TemporaryDirectory(prefix="howdah-bench-") as directory:
    try:
        howdah, pgbouncer = scram(cluster, directory)
        proxies = started(howdah=start_howdah(target, cluster.nodes, howdah),
                          PgBouncer=start_pgbouncer(cluster.nodes[0], pgbouncer))
        script = f"{directory}/nothing"
        with open(script, "w") as f:
            f.write("\\set nothing 0\n")
        # Keys are derived, servers are connected.
        for port, _ in proxies.values():
            cluster.select(port, "simple", CLIENTS, 1)
        os.environ["PGSSLMODE"] = "disable"
        for _ in range(rounds):
            for name, (port, process) in in_turn(proxies):
                run = with_cost(process, lambda: cluster.load(port, CLIENTS, seconds, "-C", "-f", script))
                results.setdefault(name, []).append(run)
        print(heading(cluster, proxies, target,
                      f"{CLIENTS} clients, medians of {rounds} interleaved rounds of {seconds} s, without TLS"))
    finally:
        end(proxies)
        cluster.end()

print("| | connections per second | CPU µs for each | connections per CPU second | CPU, × PgBouncer |")
print("|---|---|---|---|---|")
for name in proxies:
    rate, _, cost = (statistics.median(column) for column in zip(*results[name]))
    ratio = f"{cost / statistics.median(run[2] for run in results['PgBouncer']):.2f}" if "PgBouncer" in results else ""
    print(f"| {name} | {rate:,.0f} | {cost:.0f} | {1e6 / cost:,.0f} | {ratio} |")
    if name == "howdah" and ratio:
        keep({"a connection": float(ratio)})
