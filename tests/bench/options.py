"""What settings cost: the same load through two proxies that differ in one setting, in turn, round after round."""
import re
import statistics
import subprocess
import sys
import tempfile

from parts import Cluster, cpu_seconds, family_seconds, in_turn, keep, machine, start_howdah

target, seconds, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
# Of the settings to compare; none: all.
names = sys.argv[4:]

ROW = "\\set aid random(1, 1000000)\n"
UPDATE = "UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :aid;\n"
SELECT = "SELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n"
# The setting as it is written, how many replicas there are, the load in words, its clients, pgbench's script and how many
# statements that has. What the two proxies have in common stands behind the setting.
LOADS = [
    ("causal_reads = {}\n", 1, "a write and four reads, 16 clients", 16, ROW + UPDATE + 4 * SELECT, 5),
    ("[cluster.main.monitor]\ndefinitions = {}\n[pool]\nsize = 16\n", 0, "reads, 16 clients, 16 servers", 16, ROW + SELECT, 1),
    ("[cluster.main.monitor]\ndefinitions = {}\n[pool]\nsize = 20\n", 0, "reads, 64 clients, 20 servers", 64, ROW + SELECT, 1),
    ("[pool]\nreset_always = {}\nsize = 16\n", 0, "reads, 16 clients, 16 servers", 16, ROW + SELECT, 1),
    ("[pool]\nreset_always = {}\nsize = 20\n", 0, "reads, 64 clients, 20 servers", 64, ROW + SELECT, 1),
    ("prove_commits = {}\n", 0, "BEGIN, a write, COMMIT, 16 clients", 16, ROW + "BEGIN;\n" + UPDATE + "COMMIT;\n", 3),
    ("prove_autocommit = {}\n", 0, "a write, 16 clients", 16, ROW + UPDATE, 1),
    ("[pool]\nprepare_unnamed = {}\n", 0, "reads, extended, 16 clients", 16, ROW + SELECT, 1),
]
# The setting that is for the extended protocol, and is to be better than no proxy.
UNNAMED = "prepare_unnamed"


def packets(cluster, process):
    """How many segments with data the proxy has sent to servers by the connections that it has."""
    ports = [word for node in cluster.nodes for word in ("or", "dport", "=", f":{node.split(':')[1]}")][1:]
    sockets = subprocess.run(["ss", "-tinpHO", *ports], capture_output=True, text=True, check=True).stdout
    own = [line for line in sockets.split("\n") if f"pid={process.pid}," in line]
    return sum(int(sent.group(1)) for line in own if (sent := re.search(r"data_segs_out:(\d+)", line)))


def measure(cluster, port, process, clients, protocol, script, statements):
    """Statements per second; microseconds of the proxy and of the servers, and packets to these, for each statement."""
    own = lambda: (cpu_seconds(process.pid), packets(cluster, process)) if process else (0, 0)
    look = lambda: (own()[0], family_seconds(cluster.process.pid), own()[1])
    before = look()
    count, tps, _ = cluster.load(port, clients, seconds, "-M", protocol, "-f", script)
    proxy, servers, sent = ((b - a) / (count * statements) for a, b in zip(before, look()))
    return tps * statements, proxy * 1e6, servers * 1e6, sent


def compare(setting, replicas, load, clients, text, statements):
    """Prints a row for the setting off, and one for it on."""
    cluster = Cluster(target, replicas)
    proxies, results = {}, {"false": [], "true": []}
    protocol = "extended" if UNNAMED in setting else "simple"
    with tempfile.NamedTemporaryFile("w", prefix="howdah-bench-") as script:
        script.write(text)
        script.flush()
        try:
            for value in results:
                proxies[value] = start_howdah(target, cluster.nodes, setting.format(value))
                # Connections are opened.
                cluster.load(proxies[value][0], clients, 1, "-M", protocol, "-f", script.name)
            if UNNAMED in setting:
                proxies["directly"], results["directly"] = (cluster.port, None), []
            for _ in range(rounds):
                for value, (port, process) in in_turn(proxies):
                    results[value].append(measure(cluster, port, process, clients, protocol, script.name, statements))
        finally:
            for _, process in proxies.values():
                if process:
                    process.terminate()
                    process.wait()
            cluster.end()
    name = re.search(r"\w+ = (?={)", setting).group()
    median = {value: [statistics.median(column) for column in zip(*rows)] for value, rows in results.items()}
    for value, (rate, proxy, servers, sent) in median.items():
        times = [f" ({one / off:.2f})" if value != "false" and off else "" for one, off in zip(median[value], median["false"])]
        shown = "no proxy" if value == "directly" else f"`{name}{value}`"
        print(f"| {shown} | {load} | {rate:,.0f}{times[0]} | {proxy:.1f}{times[1]} | {servers:.1f}{times[2]} | "
              f"{sent:.3f} |")
    if UNNAMED in setting:
        ours, direct = median["true"], median["directly"]
        keep({"no proxy, CPU": (ours[1] + ours[2]) / direct[2], "no proxy, throughput": ours[0] / direct[0]})


print(f"pgbench, simple protocol where nothing else is said, scale 10, medians of {rounds} interleaved rounds of {seconds} s; {machine()}. "
      "For each statement of a client; in brackets, times off.\n")
print("| setting | load | statements per second | proxy, CPU µs | servers, CPU µs | packets to servers |")
print("|---|---|---|---|---|---|")
for one in LOADS:
    if not names or re.search(r"\w+(?= = {)", one[0]).group() in names:
        compare(*one)
