"""Which part of the proxy's CPU time goes into policies: samples of its stacks, by perf."""
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter

from parts import MODES, Cluster, keep, machine, start_howdah

target, seconds, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
CLIENTS = 16
# Samples per second and thread; no divisor of what timers use.
FREQUENCY = 2_503
POLICIES = {
    "no policy": '[[policy]]\nname = "nobody-asks"\npath = "built-in"\nusers = ["nobody"]\n',
    "remembered": "",
    "asked every time": "[policies]\nremember = false\n",
}
# Whose a sample is: the innermost function that says so.
PARTS = {"howdah_policy": "host", "wasmtime": "engine", "[unknown]": "guest"}
FRAME = re.compile(r"\s*[0-9a-f]+ (.*) \((.*)\)$")


def part(thread, frames):
    """The part of the policies' work that a stack belongs to, innermost frame first; none: it is other work."""
    if thread == "howdah-epoch":
        return "clock"
    functions = [function for function, file in frames if ".so" not in file]
    if not any("howdah_policy" in function or "wasmtime" in function for function in functions):
        return None
    return next((PARTS[known] for function in functions for known in PARTS if known in function), None)


def samples(process):
    """How many samples there are of each part while `seconds` pass."""
    with tempfile.NamedTemporaryFile(prefix="howdah-bench-") as data:
        subprocess.run(["perf", "record", "--quiet", "-e", "cpu-clock", "-F", str(FREQUENCY), "--call-graph", "fp",
                        "-o", data.name, "-p", str(process.pid), "--", "sleep", str(seconds)], check=True)
        stacks = subprocess.run(["perf", "script", "-i", data.name, "-F", "comm,ip,sym,dso"],
                                capture_output=True, text=True, check=True).stdout
    found = Counter()
    for stack in stacks.split("\n\n"):
        thread, *lines = stack.strip().split("\n")
        if lines:
            found[part(thread.strip(), [FRAME.match(line).groups() for line in lines])] += 1
    return found


if os.getuid() != 0 and int(open("/proc/sys/kernel/perf_event_paranoid").read()) > 1:
    sys.exit("the kernel's part cannot be sampled: set kernel.perf_event_paranoid to 1 at most, or be root")
cluster = Cluster(target)
program = f"{target}/frames/release/howdah"
proxies = {name: start_howdah(target, cluster.nodes, config, program=program) for name, config in POLICIES.items()}
found = {}
try:
    for _ in range(rounds):
        for mode in MODES:
            for name, (port, process) in proxies.items():
                with cluster.under_load(port, mode, CLIENTS):
                    # Connecting is over.
                    time.sleep(1)
                    found.setdefault((name, mode), Counter()).update(samples(process))
finally:
    for _, process in proxies.values():
        process.terminate()
        process.wait()
    cluster.end()

print(f"perf, {rounds} rounds of {seconds} s, pgbench, select-only, {CLIENTS} clients; {machine()}.\n")
print("| the default policy | protocol | samples | policies' share | host | engine | guest | clock |")
print("|---|---|---|---|---|---|---|---|")
ALL = ["host", "engine", "guest", "clock"]
shares = {of: sum(count[one] for one in ALL) / count.total() for of, count in found.items()}
for (name, mode), count in found.items():
    parts = [100 * count[one] / count.total() for one in ALL]
    keep({f"policies, {name}, {mode}": shares[name, mode]})
    print(f"| {name} | {mode} | {count.total():,} | {100 * shares[name, mode]:.2f} % | "
          + " | ".join(f"{part:.2f} %" for part in parts) + " |")
# Compared with the time that everything else takes, which is the same.
added = {mode: (1 - shares["no policy", mode]) / (1 - shares["asked every time", mode]) - 1 for mode in MODES}
keep({f"asking adds, {mode}": one for mode, one in added.items()})
print("\nAsking every time adds to the CPU time without a policy: "
      + ", ".join(f"{100 * one:.2f} % ({mode})" for mode, one in added.items()) + ".")
