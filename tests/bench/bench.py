"""Runs pgbench against PostgreSQL itself, howdah and PgBouncer, one after the other, round after round."""
import os
import platform
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

target, seconds, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
TICKS = os.sysconf("SC_CLK_TCK")
MODES = ["simple", "extended", "prepared"]
CLIENTS = [1, 16, 64]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def cpu_seconds(pid):
    """User and system time of a process with all its threads."""
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def await_port(port):
    give_up = time.time() + 20
    while time.time() < give_up:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"nobody listens on port {port}")


def start_howdah(node):
    port = free_port()
    process = subprocess.Popen(
        [f"{target}/release/howdah", "run", "--node", node, "--listen", f"127.0.0.1:{port}"],
        stderr=subprocess.DEVNULL,
    )
    await_port(port)
    return "howdah", port, process


def start_pgbouncer(node):
    if not shutil.which("pgbouncer"):
        return None
    port = free_port()
    directory = tempfile.mkdtemp(prefix="howdah-bench-")
    os.chmod(directory, 0o755)
    host, server_port = node.split(":")
    with open(f"{directory}/pgbouncer.ini", "w") as f:
        f.write(
            f"[databases]\n* = host={host} port={server_port} user=postgres\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
            "pool_mode = transaction\ndefault_pool_size = 20\nmax_client_conn = 1000\n"
            "server_reset_query =\nlog_connections = 0\nlog_disconnections = 0\n"
        )
        version = re.search(r"(\d+)\.(\d+)", subprocess.run(["pgbouncer", "--version"], capture_output=True, text=True).stdout)
        # Older ones do not know prepared statements in transaction pooling.
        if (int(version.group(1)), int(version.group(2))) >= (1, 21):
            f.write("max_prepared_statements = 200\n")
    command = ["pgbouncer", "-q", f"{directory}/pgbouncer.ini"]
    if os.getuid() == 0:
        command[1:1] = ["-u", "postgres"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    await_port(port)
    return "PgBouncer", port, process


def pgbench(port, mode, clients):
    output = subprocess.run(
        [f"{programs}/pgbench", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-n", "-S", "-M", mode,
         "-c", str(clients), "-j", "1" if clients == 1 else "2", "-T", str(seconds), "postgres"],
        capture_output=True, text=True,
    )
    if output.returncode:
        return None
    output = output.stdout
    count = int(re.search(r"actually processed: (\d+)", output).group(1))
    tps = float(re.search(r"tps = ([\d.]+)", output).group(1))
    latency = float(re.search(r"latency average = ([\d.]+)", output).group(1))
    return count, tps, latency


cluster = subprocess.Popen([f"{target}/debug/examples/cluster", "0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
node = cluster.stdout.readline().split()[0]
programs = cluster.stdout.readline().strip()
subprocess.run([f"{programs}/pgbench", "-h", "127.0.0.1", "-p", node.split(":")[1], "-U", "postgres", "-i", "-q", "-s", "10", "postgres"],
               check=True, capture_output=True)
contenders = [("direct", int(node.split(":")[1]), None), start_howdah(node), start_pgbouncer(node)]
contenders = [c for c in contenders if c]
results = {}
try:
    for _ in range(rounds):
        for clients in CLIENTS:
            for mode in MODES:
                for name, port, process in contenders:
                    before = cpu_seconds(process.pid) if process else 0
                    run = pgbench(port, mode, clients)
                    if not run:
                        continue
                    count, tps, latency = run
                    cpu = (cpu_seconds(process.pid) - before) / count * 1e6 if process else 0
                    results.setdefault((clients, mode, name), []).append((tps, latency, cpu))
finally:
    for _, _, process in contenders:
        if process:
            process.terminate()
            process.wait()
    cluster.stdin.close()
    cluster.wait()

model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
print(f"pgbench, select-only, scale 10, {seconds} s per run, medians of {rounds} interleaved rounds; "
      f"{os.cpu_count()} cores shared by client, proxy and server ({model}).\n")
print("| clients | mode | | tps | share of direct | latency ms | CPU µs per query | × PgBouncer |")
print("|---|---|---|---|---|---|---|---|")
for clients in CLIENTS:
    for mode in MODES:
        median = lambda name, i: statistics.median(r[i] for r in results[(clients, mode, name)])
        direct = median("direct", 0)
        for name, _, process in contenders:
            if (clients, mode, name) not in results:
                print(f"| {clients} | {mode} | {name} | fails | | | | |")
                continue
            tps, latency, cpu = (median(name, i) for i in range(3))
            ratio = ""
            if process and (clients, mode, "PgBouncer") in results:
                ratio = f"{cpu / median('PgBouncer', 2):.2f}"
            print(f"| {clients} | {mode} | {name} | {tps:,.0f} | {tps / direct:.2f} | {latency:.3f} | "
                  f"{f'{cpu:.1f}' if process else ''} | {ratio} |")
