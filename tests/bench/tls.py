"""What encryption costs: the same load through howdah and PgBouncer, with the same certificate and without, in turn."""
import os
import statistics
import sys
import tempfile

from parts import Cluster, certificate, end, in_turn, keep, machine, scram, start_howdah, start_pgbouncer, started, with_cost

target, seconds, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

CLIENTS = 16
MODES = {"without": "disable", "TLS": "require"}
# What is counted, in words, and what pgbench does for it. A login, by SCRAM-SHA-256, is part of a new connection.
LOADS = {"query": [], "connection with one query": ["-C"]}


def contenders(cluster, directory):
    """Proxies that know the same password by the same verifier, as a server keeps it."""
    howdah, pgbouncer = scram(cluster, directory)
    howdah = certificate(directory) + howdah
    pgbouncer += ("client_tls_sslmode = allow\n"
                  f"client_tls_cert_file = {directory}/crt\nclient_tls_key_file = {directory}/key\n")
    return started(howdah=start_howdah(target, cluster.nodes, howdah),
                   PgBouncer=start_pgbouncer(cluster.nodes[0], pgbouncer))


def measure(cluster, port, process, mode, arguments):
    """How many per second, and microseconds of the proxy for each."""
    os.environ["PGSSLMODE"] = MODES[mode]
    rate, _, cost = with_cost(process, lambda: cluster.select(port, "simple", CLIENTS, seconds, *arguments))
    return rate, cost


results, proxies = {}, {}
cluster = Cluster(target)
with tempfile.TemporaryDirectory(prefix="howdah-bench-") as directory:
    try:
        proxies = contenders(cluster, directory)
        for _ in range(rounds):
            for load, arguments in LOADS.items():
                for name, (port, process) in in_turn(proxies):
                    for mode in MODES:
                        run = measure(cluster, port, process, mode, arguments)
                        results.setdefault((load, name, mode), []).append(run)
    finally:
        end(proxies)
        cluster.end()

print(f"pgbench, select-only, simple protocol, scale 10, {CLIENTS} clients, medians of {rounds} interleaved rounds of "
      f"{seconds} s; {machine()}. CPU time of the proxy for each.\n")
print("| for each | | per second without | with TLS | CPU µs without | with TLS | TLS alone | × PgBouncer, with TLS |")
print("|---|---|---|---|---|---|---|---|")
for load in LOADS:
    median = lambda name, mode, i: statistics.median(run[i] for run in results[load, name, mode])
    for name in proxies:
        (plain, tls), (plain_cpu, tls_cpu) = ([median(name, mode, i) for mode in MODES] for i in range(2))
        ratio = f"{tls_cpu / median('PgBouncer', 'TLS', 1):.2f}" if "PgBouncer" in proxies else ""
        print(f"| {load} | {name} | {plain:,.0f} | {tls:,.0f} | {plain_cpu:.1f} | {tls_cpu:.1f} | "
              f"{tls_cpu - plain_cpu:.1f} | {ratio} |")
        if name == "howdah" and ratio:
            keep({f"TLS, {load}": float(ratio)})
