"""What one client waits for a query, directly and through each proxy, and what the proxy adds to that."""
import itertools
import os
import statistics
import sys

from parts import MODES, Cluster, end, family, heading, in_turn, keep, start_haproxy, start_howdah, start_pgbouncer, \
    started, stats, with_cost

target, turns = sys.argv[1], int(sys.argv[2]) * int(sys.argv[3])
PLACES = ["where the kernel puts them", "the proxy on a core of its own"]


def keep_to(core, pid):
    """Lets a process with all that it has started, and what it will start, run on one core only."""
    for one in family(stats(), pid):
        for thread in os.listdir(f"/proc/{one}/task"):
            os.sched_setaffinity(int(thread), {core})


cores, results, proxies = sorted(os.sched_getaffinity(0)), {}, {}
cluster = Cluster(target)
try:
    proxies = started(howdah=start_howdah(target, cluster.nodes), PgBouncer=start_pgbouncer(cluster.nodes[0]),
                      HAProxy=start_haproxy(cluster.nodes[0]))
    contenders = {"direct": (cluster.port, None), **proxies}
    for place in PLACES[:len(cores)]:
        if place == PLACES[1]:
            keep_to(cores[0], cluster.process.pid)
            for _, process in proxies.values():
                keep_to(cores[-1], process.pid)
            # What starts pgbench.
            os.sched_setaffinity(0, {cores[0]})
        for mode in MODES:
            for _ in range(turns):
                for name, (port, process) in in_turn(contenders):
                    if run := with_cost(process, lambda: cluster.select_alone(port, mode, 1)):
                        results.setdefault((place, mode, name), []).append(run)
    os.sched_setaffinity(0, cores)
    what = f"pgbench, select-only, one client, medians of {turns} interleaved turns of 1 s"
    print(heading(cluster, proxies, target, what))
finally:
    end(proxies)
    cluster.end()

print("| | mode | | median, µs | added | added, × PgBouncer | CPU µs per query |")
print("|---|---|---|---|---|---|---|")
medians = {key: [statistics.median(column) for column in zip(*found)] for key, found in results.items()}
for place, mode, name in itertools.product(PLACES, MODES, contenders):
    if (place, mode, name) not in medians:
        continue
    _, waited, cpu = medians[place, mode, name]
    if name == "direct":
        print(f"| {place} | {mode} | direct | {waited * 1e3:.0f} | | | |")
        continue
    direct = medians[place, mode, "direct"][1]
    added, theirs = waited - direct, medians.get((place, mode, "PgBouncer"))
    ratio = added / (theirs[1] - direct) if theirs else None
    print(f"| {place} | {mode} | {name} | {waited * 1e3:.0f} | {added * 1e3:.0f} | {f'{ratio:.2f}' if ratio else ''} | "
          f"{cpu:.1f} |")
    if name == "howdah" and ratio and place == PLACES[0]:
        keep({f"latency, {mode}": ratio})
