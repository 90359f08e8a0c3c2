"""What the default policy costs the whole proxy, and what queries notice when a policy is swapped under full load."""
import glob
import os
import statistics
import subprocess
import sys
import threading
import time

from parts import Cluster, cpu_seconds, keep, machine, new_directory, start_howdah

target, policy = sys.argv[1:3]
seconds, rounds, swap_seconds = map(int, sys.argv[3:6])
CLIENTS = 16
# Few enough that the slowest query tells of the proxy rather than of the queue for the cores.
SWAP_CLIENTS = 4
# After a version has come into force, the next one is not written before as much time has passed as this one took, and
# this many seconds more: then there is a window of the same length without a swap.
REST = 0.5
# After a version has come into force, queries that it touches have ended.
AFTERWARDS = 0.05

cluster = Cluster(target)


def share():
    """CPU per query: without a policy, with its answers remembered, and with it asked about every statement."""
    limited = '[[policy]]\nname = "nobody-asks"\npath = "built-in"\nusers = ["nobody"]\n'
    proxies = {
        "no policy": start_howdah(target, cluster.nodes, limited),
        "remembered": start_howdah(target, cluster.nodes),
        "asked every time": start_howdah(target, cluster.nodes, "[policies]\nremember = false\n"),
    }
    spent = {name: [] for name in proxies}
    for number in range(rounds):
        order = list(proxies.items())
        # Nobody always runs first.
        for name, (port, process) in order[number % 3:] + order[:number % 3]:
            before = cpu_seconds(process.pid)
            count, _, _ = cluster.select(port, "simple", CLIENTS, seconds)
            spent[name].append((cpu_seconds(process.pid) - before) / count * 1e6)
    for _, process in proxies.values():
        process.terminate()
        process.wait()
    print("| the default policy | CPU µs per query, median | least | × no policy, median of the rounds |")
    print("|---|---|---|---|")
    for name, times in spent.items():
        ratio = statistics.median(time / without for time, without in zip(times, spent["no policy"]))
        print(f"| {name} | {statistics.median(times):.2f} | {min(times):.2f} | {ratio:.3f} |")


def version(component, number):
    """The same component with another custom section: other bytes, so it is compiled."""
    name = b"version-%06d" % number
    return component + bytes([0, len(name) + 1, len(name)]) + name


def swap():
    """The slowest query around each swap, and in a window of the same length without one."""
    directory = new_directory()
    path = f"{directory}/policy.wasm"
    component = open(policy, "rb").read()
    with open(path, "wb") as f:
        f.write(version(component, 0))
    config = f'[[policy]]\nname = "swapped"\npath = "{path}"\n[log]\nformat = "json"\n'
    port, process = start_howdah(target, cluster.nodes, config, stderr=subprocess.PIPE)
    # Nobody looks whether a version has come in: that would be more load in the windows with a swap.
    in_force, arrived, over = [], threading.Semaphore(0), threading.Event()

    def listen():
        for line in process.stderr:
            if "policies swapped" in line and written:
                in_force.append(time.time())
                arrived.release()

    def write():
        rest = 2.0
        while not over.wait(rest):
            with open(f"{path}.new", "wb") as f:
                f.write(version(component, len(written) + 1))
            written.append(time.time())
            os.rename(f"{path}.new", path)
            arrived.acquire()
            rest = time.time() - written[-1] + AFTERWARDS + REST

    written = []
    threading.Thread(target=listen, daemon=True).start()
    writer = threading.Thread(target=write)
    writer.start()
    try:
        run = cluster.select(port, "simple", SWAP_CLIENTS, swap_seconds, "-l", f"--log-prefix={directory}/log")
    finally:
        over.set()
        arrived.release()
        writer.join()
        process.terminate()
        process.wait()
    ends = []
    for log in glob.glob(f"{directory}/log*"):
        for line in open(log):
            _, _, latency, _, second, micro = line.split()[:6]
            ends.append((int(second) + int(micro) / 1e6, int(latency) / 1e3))
    slowest = lambda begin, end: max((latency for when, latency in ends if begin <= when < end), default=0)
    last = max(when for when, _ in ends)
    touched, untouched, took = [], [], []
    for begin in written:
        done = next((when for when in in_force if when >= begin), None)
        if done is None or done + AFTERWARDS > last:
            continue
        took.append((done - begin) * 1e3)
        length = done + AFTERWARDS - begin
        touched.append(slowest(begin, begin + length))
        quiet = done + AFTERWARDS
        if quiet + length <= last:
            untouched.append(slowest(quiet, quiet + length))
    if not touched:
        sys.exit("no version came into force")
    print(f"{len(touched)} swaps under {run[1]:,.0f} queries per second of {SWAP_CLIENTS} clients, none failed; "
          f"from the file to its being in force {statistics.median(took):.0f} ms.\n")
    print("| the slowest query, ms | median of the windows | worst |")
    print("|---|---|---|")
    for name, values in (("while a version comes in", touched), ("in windows without", untouched)):
        print(f"| {name} | {statistics.median(values):.2f} | {max(values):.2f} |")
    if untouched:
        keep({"a swap adds": statistics.median(touched) - statistics.median(untouched)})


try:
    print(f"pgbench, select-only, {CLIENTS} clients, or {SWAP_CLIENTS} for swaps, simple protocol, {rounds} rounds of {seconds} s; {machine()}.\n")
    share()
    print()
    swap()
finally:
    cluster.end()
