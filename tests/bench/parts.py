"""What the benchmarks share: a cluster, proxies in front of it, pgbench, CPU times."""
import contextlib
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

TICKS = os.sysconf("SC_CLK_TCK")


def machine():
    model = (line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    return f"{os.cpu_count()} cores shared by client, proxy and server ({next(model, platform.machine())})"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def stat(pid):
    """What the kernel says of a process: its parent, and its user and system time, of itself and of ended children."""
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return int(fields[1]), [int(field) for field in fields[11:15]]


def cpu_seconds(pid):
    """User and system time of a process with all its threads."""
    return sum(stat(pid)[1][:2]) / TICKS


def family_seconds(pid):
    """User and system time of a process with all that it has started, directly or not."""
    processes = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            processes[int(name)] = stat(name)
        except OSError:
            # It has ended; its parent has its time.
            pass
    family = lambda one: sum(processes[one][1]) + sum(family(child) for child in processes if processes[child][0] == one)
    return family(pid) / TICKS


def await_port(port):
    give_up = time.time() + 20
    while time.time() < give_up:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"nobody listens on port {port}")


class Cluster:
    """Throw-away servers with pgbench's tables."""

    def __init__(self, target, replicas=0):
        self.process = subprocess.Popen([f"{target}/debug/examples/cluster", str(replicas)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.nodes = self.process.stdout.readline().split()
        self.port = int(self.nodes[0].split(":")[1])
        self.programs = self.process.stdout.readline().strip()
        self.pgbench(self.port, "-i", "-q", "-s", "10")

    def pgbench_command(self, port, *arguments):
        return [f"{self.programs}/pgbench", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", *arguments, "postgres"]

    def pgbench(self, port, *arguments, check=True):
        """What pgbench prints; none when it fails."""
        done = subprocess.run(self.pgbench_command(port, *arguments), capture_output=True, text=True)
        if done.returncode and check:
            sys.exit(done.stderr)
        return None if done.returncode else done.stdout

    def sql(self, sql):
        """What a statement answers."""
        command = [f"{self.programs}/psql", "-XqAt", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-c", sql]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    @contextlib.contextmanager
    def under_load(self, port, mode, clients):
        """Queries come in until the block ends."""
        command = self.pgbench_command(port, "-n", "-S", "-M", mode, "-c", str(clients), "-j", "2", "-T", "3600")
        load = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield
            if load.poll() is not None:
                sys.exit("pgbench has failed")
        finally:
            load.terminate()
            load.wait()

    def select(self, port, mode, clients, seconds, *more, check=True):
        """Queries, queries per second and their average latency in ms."""
        return self.load(port, clients, seconds, "-S", "-M", mode, *more, check=check)

    def load(self, port, clients, seconds, *more, check=True):
        """Transactions of pgbench, how many per second and their average latency in ms; none when it fails."""
        output = self.pgbench(port, "-n", "-c", str(clients), "-j", "1" if clients == 1 else "2",
                              "-T", str(seconds), *more, check=check)
        if output is None:
            return None
        found = [re.search(what, output).group(1) for what in (
            r"actually processed: (\d+)", r"tps = ([\d.]+)", r"latency average = ([\d.]+)")]
        return int(found[0]), float(found[1]), float(found[2])

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def start_howdah(target, nodes, config="", stderr=subprocess.DEVNULL):
    """Its port and its process. Whatever `config` says of a directory is relative to a new one."""
    port = free_port()
    directory = tempfile.mkdtemp(prefix="howdah-bench-")
    with open(f"{directory}/howdah.toml", "w") as f:
        f.write(f'listen = ["127.0.0.1:{port}"]\n[cluster.main]\nnodes = {json.dumps(nodes)}\n{config}')
    process = subprocess.Popen([f"{target}/release/howdah", "run", "--config", f"{directory}/howdah.toml"],
                               stderr=stderr, text=True)
    await_port(port)
    return port, process


def start_pgbouncer(node, config="auth_type = any\n"):
    """Its port and its process; none when it is not installed. `config` says who may come in."""
    if not shutil.which("pgbouncer"):
        return None
    port = free_port()
    directory = tempfile.mkdtemp(prefix="howdah-bench-")
    os.chmod(directory, 0o755)
    host, server_port = node.split(":")
    with open(f"{directory}/pgbouncer.ini", "w") as f:
        f.write(
            f"[databases]\n* = host={host} port={server_port} user=postgres\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n{config}"
            "pool_mode = transaction\ndefault_pool_size = 20\nmax_client_conn = 1000\n"
            "server_reset_query =\nlog_connections = 0\nlog_disconnections = 0\n"
        )
        version = subprocess.run(["pgbouncer", "--version"], capture_output=True, text=True).stdout
        version = re.search(r"(\d+)\.(\d+)", version)
        # Older ones do not know prepared statements in transaction pooling.
        if (int(version.group(1)), int(version.group(2))) >= (1, 21):
            f.write("max_prepared_statements = 200\n")
    command = ["pgbouncer", "-q", f"{directory}/pgbouncer.ini"]
    if os.getuid() == 0:
        command[1:1] = ["-u", "postgres"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    await_port(port)
    return port, process
