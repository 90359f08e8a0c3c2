"""What the benchmarks share: a cluster, proxies in front of it, pgbench, CPU times."""
import contextlib
import glob
import json
import os
import platform
import random
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

TICKS = os.sysconf("SC_CLK_TCK")
# The build that is measured: "trained" by .ci/package/build, as it is released, or a plain "release" or "debug" of cargo.
# Figures of a debug build compare only with each other.
PROFILE = os.environ.get("PROFILE", "trained")
# Where Debian has them, which need not be a place that a user's shell searches.
HAPROXY, PGPOOL = "/usr/sbin/haproxy", "/usr/sbin/pgpool"
# pgbench's protocols.
MODES = ["simple", "extended", "prepared"]
# What pgbench sends as one of some number of different statements.
DIFFERENT = ("\\set aid random(1, 1000000)\n\\set k random(1, {})\n"
             "SELECT abalance AS c:k FROM pgbench_accounts WHERE aid = :aid;\n")


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


def stats():
    """What the kernel says of each process."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            found[int(name)] = stat(name)
        except OSError:
            # It has ended; its parent has its time.
            pass
    return found


def family(processes, pid):
    """A process with all that it has started, directly or not."""
    children = [child for child in processes if processes[child][0] == pid]
    return [pid, *(one for child in children for one in family(processes, child))]


def family_seconds(pid):
    """User and system time of a process with all that it has started."""
    processes = stats()
    return sum(sum(processes[one][1]) for one in family(processes, pid)) / TICKS


def memory(pid, what="VmRSS"):
    """KiB in memory of a process with all that it has started."""
    found = 0
    for one in family(stats(), pid):
        with open(f"/proc/{one}/status") as f:
            found += int(re.search(rf"{what}:\s+(\d+)", f.read()).group(1))
    return found


def peak_memory(pid):
    """The most that there was of it, in KiB."""
    return memory(pid, "VmHWM")


DIRECTORIES = []


def new_directory():
    """One that is there until this process ends."""
    DIRECTORIES.append(tempfile.TemporaryDirectory(prefix="howdah-bench-", ignore_cleanup_errors=True))
    return DIRECTORIES[-1].name


def await_port(port, patience=20, process=None):
    """Waits until somebody listens, for some seconds at most, and not when the process that shall has ended."""
    give_up = time.time() + patience
    while time.time() < give_up and (process is None or process.poll() is None):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"nobody listens on port {port}")


class Cluster:
    """Throw-away servers with pgbench's tables."""

    def __init__(self, target, replicas=0, *settings):
        """`settings` are lines of postgresql.conf."""
        self.process = subprocess.Popen([f"{target}/debug/examples/cluster", str(replicas), *settings],
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

    def select_alone(self, port, mode, seconds):
        """Queries of one client, queries per second and their median latency in ms; none when it fails."""
        with tempfile.TemporaryDirectory(prefix="howdah-bench-") as directory:
            run = self.select(port, mode, 1, seconds, "-l", f"--log-prefix={directory}/log", check=False)
            if run is None:
                return None
            # Client, transaction, microseconds (pgbench, "Per-Transaction Logging").
            lines = [line for name in glob.glob(f"{directory}/log*") for line in open(name)]
        return *run[:2], statistics.median(int(line.split()[2]) for line in lines) / 1e3

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


def start_howdah(target, nodes, config="", stderr=subprocess.DEVNULL, top="", around=(), program=None):
    """
    Its port and its process. Whatever `config` says of a directory is relative to a new one. `top` is what comes before
    all sections; `around` is the command that runs the program, and makes it slow; `program` is another one than the
    build that is measured.
    """
    port = free_port()
    directory = new_directory()
    with open(f"{directory}/howdah.toml", "w") as f:
        f.write(f'{top}listen = ["127.0.0.1:{port}"]\n[cluster.main]\nnodes = {json.dumps(nodes)}\n{config}')
    command = [*around, program or f"{target}/{PROFILE}/howdah", "run", "--config", f"{directory}/howdah.toml"]
    process = subprocess.Popen(command, stderr=stderr, text=True)
    # Policies are compiled, or everything is slow.
    await_port(port, 300, process)
    return port, process


def start_pgbouncer(node, config="auth_type = any\n", clients=1000):
    """Its port and its process; none when it is not installed. `config` says who may come in."""
    if not shutil.which("pgbouncer"):
        return None
    port = free_port()
    directory = new_directory()
    os.chmod(directory, 0o755)
    host, server_port = node.split(":")
    with open(f"{directory}/pgbouncer.ini", "w") as f:
        f.write(
            f"[databases]\n* = host={host} port={server_port} user=postgres\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n{config}"
            f"pool_mode = transaction\ndefault_pool_size = 20\nmax_client_conn = {clients}\n"
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


def start_haproxy(node):
    """As a plain relay: its port and its process; none when it is not installed."""
    if not os.path.exists(HAPROXY):
        return None
    port = free_port()
    directory = new_directory()
    with open(f"{directory}/haproxy.cfg", "w") as f:
        f.write("defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n"
                f"listen main\n  bind 127.0.0.1:{port}\n  server one {node}\n")
    process = subprocess.Popen([HAPROXY, "-db", "-f", f"{directory}/haproxy.cfg"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    await_port(port)
    return port, process


def start_pgpool(nodes, clients):
    """With reads spread over all nodes: its port and its process; none when it is not installed."""
    if not os.path.exists(PGPOOL):
        return None
    port = free_port()
    directory = new_directory()
    os.chmod(directory, 0o777)
    settings = {"listen_addresses": "127.0.0.1", "port": port, "pcp_port": free_port(), "socket_dir": directory,
                "pcp_socket_dir": directory, "pid_file_name": f"{directory}/pid", "logdir": directory,
                "backend_clustering_mode": "streaming_replication", "num_init_children": clients, "max_pool": 1,
                "load_balance_mode": "on", "sr_check_user": "postgres", "sr_check_database": "postgres"}
    for number, (host, server_port) in enumerate(node.split(":") for node in nodes):
        settings |= {f"backend_hostname{number}": host, f"backend_port{number}": server_port,
                     f"backend_weight{number}": 1, f"backend_flag{number}": "DISALLOW_TO_FAILOVER"}
    with open(f"{directory}/pgpool.conf", "w") as f:
        f.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
    command = [PGPOOL, "-n", "-f", f"{directory}/pgpool.conf", "-F", "/dev/null", "-a", "/dev/null"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    await_port(port)
    return port, process


class Foreign:
    """A process that somebody else has started and will end."""

    def __init__(self, pid):
        self.pid = pid

    def terminate(self):
        pass

    def wait(self):
        pass


def named(argument):
    """Another proxy: `name:port:pid`."""
    name, port, pid = argument.rsplit(":", 2)
    return name, (int(port), Foreign(int(pid)))


def started(**proxies):
    """Those that are installed."""
    return {name: proxy for name, proxy in proxies.items() if proxy}


def with_cost(process, load):
    """
    What a load comes to: how many per second, their latency in ms, and CPU µs of a proxy for each, or 0 without one. `load`
    gives how many there were before that; none when it fails.
    """
    before = family_seconds(process.pid) if process else 0
    run = load()
    if run is None:
        return None
    count, rate, latency = run
    return rate, latency, (family_seconds(process.pid) - before) / count * 1e6 if process else 0


def in_turn(contenders):
    """
    Their names and what they are, in another order each time: where the kernel has somebody run depends on who ran before.
    """
    return random.sample(list(contenders.items()), len(contenders))


def end(proxies):
    for _, process in proxies.values():
        process.terminate()
        process.wait()


def version(*command):
    """The number in what a program says of its version."""
    done = subprocess.run(command, capture_output=True, text=True)
    return re.search(r"\d+\.[\w.]+", done.stdout + done.stderr).group()


def heading(cluster, proxies, target, what):
    """What was measured, with which versions, where and by which command."""
    commands = {"howdah": [f"{target}/{PROFILE}/howdah", "version"], "PgBouncer": ["pgbouncer", "--version"],
                "HAProxy": [HAPROXY, "-v"], "Pgpool-II": [PGPOOL, "--version"]}
    versions = [f"{name} {version(*commands[name])}" for name in proxies if name in commands]
    versions.append(f"PostgreSQL {cluster.sql('SHOW server_version').split()[0]}")
    build = "" if PROFILE == "trained" else f" {PROFILE} build of howdah."
    command = " ".join(["run", os.path.basename(sys.argv[0]).removesuffix(".py"), *sys.argv[2:]])
    return f"{what}; {', '.join(versions)}; {machine()}; `tests/bench/{command}`.{build}\n"


def keep(figures):
    """Figures, by what they are of, for `run goals`."""
    if path := os.environ.get("FIGURES"):
        with open(path, "a") as file:
            file.write(json.dumps(figures) + "\n")


def certificate(directory):
    """Makes one that signs itself, and its key, on the curve that most authorities use now; howdah's settings for them."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-keyout", f"{directory}/key", "-out", f"{directory}/crt"],
        check=True, capture_output=True)
    # PgBouncer reads them as another user than the one that runs this.
    for name in ("", "key", "crt"):
        os.chmod(f"{directory}/{name}", 0o755)
    return f'[tls]\ncert_file = "{directory}/crt"\nkey_file = "{directory}/key"\n'


def scram(cluster, directory):
    """Settings of howdah and of PgBouncer by which both know a password by the same verifier, as a server does."""
    # A cluster knows nothing of it: servers trust everybody.
    os.environ["PGPASSWORD"] = "sesame"
    cluster.sql(f"ALTER ROLE postgres PASSWORD '{os.environ['PGPASSWORD']}'")
    verifier = cluster.sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'postgres'")
    users = f"{directory}/users"
    with open(users, "w") as f:
        f.write(f'"postgres" "{verifier}"\n')
    # PgBouncer reads it as another user than the one that runs this.
    for path in (directory, users):
        os.chmod(path, 0o755)
    return f'[user.postgres]\npassword = "{verifier}"\n', f"auth_type = scram-sha-256\nauth_file = {users}\n"
