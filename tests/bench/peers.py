"""Runs pgbench against PostgreSQL itself, howdah and its peers, one after the other, round after round."""
import argparse
import itertools
import statistics

from parts import MODES, Cluster, end, heading, in_turn, keep, named, start_haproxy, start_howdah, start_pgbouncer, \
    start_pgpool, started, with_cost
from picture import picture

parser = argparse.ArgumentParser()
parser.add_argument("target")
parser.add_argument("seconds", type=int)
parser.add_argument("rounds", type=int)
parser.add_argument("others", nargs="*", type=named, metavar="name:port:pid", help="other proxies before any server")
parser.add_argument("--clients", type=lambda text: [int(one) for one in text.split(",")], default=[1, 16, 64])
parser.add_argument("--modes", type=lambda text: text.split(","), default=MODES)
parser.add_argument("--svg", help="where to draw the first table")
arguments = parser.parse_args()
target, seconds, rounds = arguments.target, arguments.seconds, arguments.rounds


def select(cluster, port, mode, clients):
    """Queries, queries per second and their latency in ms: of a single client the median, of several the average."""
    if clients > 1:
        return cluster.select(port, mode, clients, seconds, check=False)
    return cluster.select_alone(port, mode, seconds)


def measure(cluster, contenders, clients):
    """Queries per second, latency in ms and CPU µs per query: medians by clients, mode and contender that works."""
    runs = {}
    for _ in range(rounds):
        for count, mode in itertools.product(clients, arguments.modes):
            for name, (port, process) in in_turn(contenders):
                if run := with_cost(process, lambda: select(cluster, port, mode, count)):
                    runs.setdefault((count, mode, name), []).append(run)
    return {key: [statistics.median(column) for column in zip(*found)] for key, found in runs.items()}


def table(results, contenders, clients, base):
    """`base` is whose CPU time the others' is compared with."""
    print(f"| clients | mode | | tps | share of direct | latency ms | CPU µs per query | × {base} |")
    print("|---|---|---|---|---|---|---|---|")
    for count, mode, name in itertools.product(clients, arguments.modes, contenders):
        if (count, mode, name) not in results:
            print(f"| {count} | {mode} | {name} | fails | | | | |")
            continue
        tps, latency, cpu = results[count, mode, name]
        of = results.get((count, mode, base))
        ratio = f"{cpu / of[2]:.2f}" if of and of[2] and contenders[name][1] else ""
        print(f"| {count} | {mode} | {name} | {tps:,.0f} | {tps / results[count, mode, 'direct'][0]:.2f} | "
              f"{latency:.3f} | {f'{cpu:.1f}' if contenders[name][1] else ''} | {ratio} |")


def block(title, replicas, clients, base, proxies):
    """A table of what `proxies` makes before a new cluster; the results."""
    cluster, contenders = Cluster(target, replicas), {}
    try:
        contenders = proxies(cluster.nodes)
        all_of_them = {"direct": (cluster.port, None), **contenders}
        results = measure(cluster, all_of_them, clients)
        what = f"{title}: pgbench, select-only, scale 10, {seconds} s per run, medians of {rounds} interleaved rounds"
        print(heading(cluster, contenders, target, what))
        table(results, all_of_them, clients, base)
        return results
    finally:
        end(contenders)
        cluster.end()


most = max(arguments.clients)
one = block("One server", 0, arguments.clients, "PgBouncer", lambda nodes: started(
    howdah=start_howdah(target, nodes), PgBouncer=start_pgbouncer(nodes[0]), HAProxy=start_haproxy(nodes[0]),
    **{"Pgpool-II": start_pgpool(nodes, most + 4)}, **dict(arguments.others)))
print()
split = [count for count in arguments.clients if count == 16] or arguments.clients[:1]
spread = block("Reads over a primary and two replicas", 2, split, "howdah, primary alone", lambda nodes: started(
    **{"howdah, primary alone": start_howdah(target, nodes[:1]), "howdah": start_howdah(target, nodes),
       "Pgpool-II": start_pgpool(nodes, most + 4)}))
for count, mode, name in one:
    ours, theirs = (one.get((count, mode, who)) for who in ("howdah", "PgBouncer"))
    if name == "howdah" and theirs:
        keep({f"CPU, {count} clients, {mode}": ours[2] / theirs[2],
              f"throughput, {count} clients, {mode}": ours[0] / theirs[0]})
for count, mode, name in spread:
    if name == "howdah":
        keep({f"three nodes, {mode}": spread[count, mode, name][2] / spread[count, mode, "howdah, primary alone"][2]})
if arguments.svg:
    with open(arguments.svg, "w") as file:
        file.write(picture(one, split[0], arguments.modes))
