"""How many instructions the proxy itself executes for a query, by valgrind's callgrind. Load does not change that."""
import collections
import glob
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

from parts import PROFILE, Cluster, start_howdah

target, clients, transactions = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
modes = sys.argv[4:] or ["simple", "extended", "prepared"]

# The figures of the last landing, by build, clients and transactions, which matter a little. KEEP=1 writes new ones.
KEPT = os.path.join(os.path.dirname(__file__), "instructions.json")
# Transactions of each client before the count begins: connections are open, statements and answers are known.
WARM_UP = 20
FUNCTIONS = 25
# What the compiler adds to names, and callgrind to those of recursive functions.
DECORATION = re.compile(r"(::h[0-9a-f]{16})?('\d+)?$")


def control(process, *arguments):
    subprocess.run(["callgrind_control", *arguments, str(process.pid)], capture_output=True, check=True)


def costs(dump):
    """Instructions of each function without those of the functions it calls."""
    found, function, is_call = collections.Counter(), None, False
    for line in open(dump, errors="replace"):
        if line.startswith("fn="):
            function = DECORATION.sub("", line[3:].strip())
        elif line.startswith("calls="):
            # The next line has the costs of the function that is called.
            is_call = True
        elif line[0] in "0123456789+-*":
            if not is_call:
                found[function] += int(line.split()[1])
            is_call = False
    return found


def worker(dumps):
    """The costs of the thread that serves clients: what others do depends on the time that passes."""
    serving = lambda found: sum(cost for function, cost in found.items() if "howdah_session" in function)
    return max(map(costs, dumps), key=serving)


def measure(cluster, mode):
    """Instructions of each function for a query. A process of its own, since later dumps leave out names."""
    with tempfile.TemporaryDirectory(prefix="howdah-bench-") as directory:
        port, process = start_howdah(target, cluster.nodes, top="workers = 1\n", around=[
            "valgrind", "--tool=callgrind", f"--callgrind-out-file={directory}/out", "--compress-strings=no",
            "--separate-threads=yes"])
        try:
            load = lambda count: cluster.pgbench(port, "-n", "-S", "-M", mode, "-c", str(clients), "-t", str(count))
            load(WARM_UP)
            control(process, "--zero")
            load(transactions)
            control(process, "--dump")
            count = clients * transactions
            return {function: cost / count for function, cost in worker(glob.glob(f"{directory}/out.*")).items()}
        finally:
            # Nothing is to be said of the end.
            process.send_signal(signal.SIGKILL)
            process.wait()


cluster = Cluster(target)
try:
    # At once: what others do does not change the count.
    with ThreadPoolExecutor() as threads:
        found = dict(zip(modes, threads.map(lambda mode: measure(cluster, mode), modes)))
finally:
    cluster.end()
with open(KEPT) as file:
    kept = json.load(file)
before = kept.setdefault(PROFILE, {}).setdefault(f"{clients} x {transactions}", {})

print(f"callgrind, user space, {PROFILE} build, the worker alone, pgbench, select-only, {clients} clients, "
      f"{transactions} transactions each.\n")
print("| protocol | instructions per query | last landing | difference |")
print("|---|---|---|---|")
for mode, functions in found.items():
    total, old = sum(functions.values()), before.get(mode)
    print(f"| {mode} | {total:,.0f} | " + (f"{old:,} | {100 * (total / old - 1):+.1f} % |" if old else "| |"))
    before[mode] = round(total)
print(f"\n| the {FUNCTIONS} dearest functions | {' | '.join(modes)} |")
print("|---|" + len(modes) * "---|")
most = collections.Counter()
for functions in found.values():
    most |= collections.Counter(functions)
for function, _ in most.most_common(FUNCTIONS):
    print(f"| `{function[:100]}` | {' | '.join(f'{found[mode].get(function, 0):,.1f}' for mode in modes)} |")
if os.environ.get("KEEP"):
    with open(KEPT, "w") as file:
        json.dump(kept, file, indent=2, sort_keys=True)
        file.write("\n")
