"""Runs pgbench against PostgreSQL itself, howdah and PgBouncer, one after the other, round after round."""
import statistics
import sys

from parts import Cluster, cpu_seconds, machine, start_howdah, start_pgbouncer

target, seconds, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
MODES = ["simple", "extended", "prepared"]
CLIENTS = [1, 16, 64]

cluster = Cluster(target)
contenders = {"direct": (cluster.port, None), "howdah": start_howdah(target, cluster.nodes)}
if pgbouncer := start_pgbouncer(cluster.nodes[0]):
    contenders["PgBouncer"] = pgbouncer
results = {}
try:
    for _ in range(rounds):
        for clients in CLIENTS:
            for mode in MODES:
                for name, (port, process) in contenders.items():
                    before = cpu_seconds(process.pid) if process else 0
                    run = cluster.select(port, mode, clients, seconds, check=False)
                    if not run:
                        continue
                    count, tps, latency = run
                    cpu = (cpu_seconds(process.pid) - before) / count * 1e6 if process else 0
                    results.setdefault((clients, mode, name), []).append((tps, latency, cpu))
finally:
    for _, process in contenders.values():
        if process:
            process.terminate()
            process.wait()
    cluster.end()

print(f"pgbench, select-only, scale 10, {seconds} s per run, medians of {rounds} interleaved rounds; {machine()}.\n")
print("| clients | mode | | tps | share of direct | latency ms | CPU µs per query | × PgBouncer |")
print("|---|---|---|---|---|---|---|---|")
for clients in CLIENTS:
    for mode in MODES:
        median = lambda name, i: statistics.median(r[i] for r in results[(clients, mode, name)])
        direct = median("direct", 0)
        for name, (_, process) in contenders.items():
            if (clients, mode, name) not in results:
                print(f"| {clients} | {mode} | {name} | fails | | | | |")
                continue
            tps, latency, cpu = (median(name, i) for i in range(3))
            ratio = ""
            if process and (clients, mode, "PgBouncer") in results:
                ratio = f"{cpu / median('PgBouncer', 2):.2f}"
            print(f"| {clients} | {mode} | {name} | {tps:,.0f} | {tps / direct:.2f} | {latency:.3f} | "
                  f"{f'{cpu:.1f}' if process else ''} | {ratio} |")
