"""What memory a client that does nothing takes: after its login, and after its first query."""
import sys

from parts import Cluster, end, heading, keep, memory, start_howdah, start_pgbouncer, started
from wire import Client, allow_files

target, clients = sys.argv[1], int(sys.argv[2])

# Those that are there before the count: what the first ones need is the process's own.
FIRST = 50


def measure(port, process):
    """KiB of the process before the clients; KiB per client after the login and after a query."""
    there = [Client(port) for _ in range(FIRST)]
    for client in there:
        client.query("SELECT 1")
    base = memory(process.pid)
    there += [Client(port) for _ in range(clients)]
    idle = memory(process.pid)
    for client in there[FIRST:]:
        client.query("SELECT 1")
    after = memory(process.pid)
    for client in there:
        client.close()
    return base, (idle - base) / clients, (after - base) / clients


# Files of the clients here, or of a proxy with its servers.
allow_files(clients + FIRST + 200)
proxies = {}
cluster = Cluster(target)
try:
    proxies = started(howdah=start_howdah(target, cluster.nodes, f"[limits]\nmax_clients = {clients + 2 * FIRST}\n"),
                      PgBouncer=start_pgbouncer(cluster.nodes[0], clients=clients + 2 * FIRST))
    results = {name: measure(*proxy) for name, proxy in proxies.items()}
    print(heading(cluster, proxies, target, f"{clients:,} clients, without TLS"))
finally:
    end(proxies)
    cluster.end()

print("| | base, KiB | KiB per idle client | KiB after a query |")
print("|---|---|---|---|")
for name, (base, idle, after) in results.items():
    print(f"| {name} | {base:,} | {idle:.2f} | {after:.2f} |")
    if name == "howdah":
        keep({"an idle client": idle})
