"""Runs PostgreSQL's regression suite through howdah and compares with a direct connection."""
import argparse
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--target", required=True, help="where the programs are built")
parser.add_argument("--source", required=True, help="PostgreSQL's src/test/regress")
parser.add_argument("--mode", action="append", choices=["direct", "session-close", "session", "transaction"],
                    help="may be given several times; all when it is not given. session-close: reset = \"close\"")
parser.add_argument("--schedule", help="a schedule instead of PostgreSQL's own")
parser.add_argument("--servers", type=int, default=12, help="servers of the pool in transaction pooling")
parser.add_argument("--keep", help="a folder where the differences are kept")
parser.add_argument("--at-least", type=int, default=0, help="fail when fewer pass in any mode")
options = parser.parse_args()
# The server reads and loads files from there, as another user.
readable = tempfile.mkdtemp(prefix="howdah-regress-source-")
os.chmod(readable, 0o755)
shutil.copytree(options.source, readable, dirs_exist_ok=True)
schedule = options.schedule or f"{readable}/parallel_schedule"
# Of a difference that nothing explains.
SHOWN_LINES = 60
explained = os.path.join(os.path.dirname(os.path.abspath(__file__)), "explained.txt")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Cluster:
    """A fresh server, made by the same code as in all other tests."""

    def __enter__(self):
        # As in a cluster that pg_regress makes for itself.
        command = [f"{options.target}/examples/cluster", "0", "max_prepared_transactions = 2"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().strip()
        self.bin = self.process.stdout.readline().strip()
        self.port = int(self.address.rsplit(":")[-1])
        self.create()
        return self

    def create(self):
        settings = ["lc_messages TO 'C'", "lc_monetary TO 'C'", "lc_numeric TO 'C'", "lc_time TO 'C'",
                    "bytea_output TO 'hex'", "timezone_abbreviations TO 'Default'"]
        sql = ["CREATE DATABASE regression TEMPLATE template0"]
        sql += [f"ALTER DATABASE regression SET {setting}" for setting in settings]
        for statement in sql:
            subprocess.run(
                [f"{self.bin}/psql", "-X", "-q", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres",
                 "-c", statement, "postgres"], check=True)

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()


class Howdah:
    """The proxy in front of it."""

    def __init__(self, cluster, mode):
        self.directory = tempfile.mkdtemp(prefix="howdah-regress-")
        self.port = free_port()
        size = options.servers if mode == "transaction" else 60
        mode, _, reset = mode.partition("-")
        with open(f"{self.directory}/howdah.toml", "w") as f:
            f.write(
                f'listen = ["127.0.0.1:{self.port}"]\n[auth]\nmethod = "trust"\n'
                f'[pool]\nmode = "{mode}"\nreset = "{reset or "discard-all"}"\nsize = {size}\nwait_timeout = "300s"\n'
                f'[cluster.main]\nnodes = ["{cluster.address}"]\n')
        self.log = open(f"{self.directory}/log", "w")
        self.process = subprocess.Popen(
            [f"{options.target}/howdah", "run", "--config", f"{self.directory}/howdah.toml"], stderr=self.log)
        give_up = time.time() + 20
        while time.time() < give_up:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        sys.exit("howdah does not listen")

    def stop(self):
        alive = self.process.poll() is None
        self.process.terminate()
        self.process.wait()
        if not alive:
            sys.exit(f"howdah has ended by itself; its log is {self.directory}/log")
        shutil.rmtree(self.directory)


def suite(cluster, port):
    """Runs pg_regress; returns what passed, what failed, and the folder of the results."""
    out = tempfile.mkdtemp(prefix="howdah-regress-out-")
    os.chmod(out, 0o777)
    for folder in ["results", "testtablespace"]:
        os.mkdir(f"{out}/{folder}")
        os.chmod(f"{out}/{folder}", 0o777)
    pgxs = subprocess.run([f"{cluster.bin}/pg_config", "--pgxs"], capture_output=True, text=True).stdout.strip()
    command = [
        os.path.join(os.path.dirname(os.path.dirname(pgxs)), "test/regress/pg_regress"),
        f"--inputdir={readable}", f"--outputdir={out}", f"--dlpath={readable}",
        f"--bindir={cluster.bin}", "--host=127.0.0.1", f"--port={port}", "--user=postgres",
        "--use-existing", "--dbname=regression", "--max-concurrent-tests=20", f"--schedule={schedule}",
    ]
    # Its line per test tells which one failed.
    env = dict(os.environ, PGCONNECT_TIMEOUT="60")
    if os.getuid() == 0:
        shutil.chown(out, "postgres")
        for folder in ["results", "testtablespace"]:
            shutil.chown(f"{out}/{folder}", "postgres")
    text = subprocess.run(command, capture_output=True, text=True, env=env, cwd=out).stdout
    verdicts = dict(re.findall(r"^(?:test|    ) +(\S+) +\.\.\. (ok|FAILED|failed)", text, re.M))
    if not verdicts:
        sys.exit(text)
    return verdicts, out


def differences_of(out):
    """How each file that failed differs from what PostgreSQL's suite expects, by its name."""
    path = f"{out}/regression.diffs"
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8", errors="replace") as f:
        parts = re.split(r"^(?=diff .*/results/(\S+)\.out$)", f.read(), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2]))


def reasons():
    """Why a file may fail in transaction pooling, by its name; and the lines that any file may have beside what is expected."""
    found, anywhere = {}, []
    with open(explained) as f:
        for line in f.read().splitlines():
            if line.startswith("+"):
                anywhere.append(line)
            elif line and not line.startswith("#"):
                name, reason = line.split(None, 1)
                found[name] = reason
    return found, anywhere


def only_adds(difference, lines):
    """Whether a difference consists of nothing but some added lines."""
    changed = [line for line in difference.splitlines()[3:] if line.startswith(("+", "-"))]
    return bool(changed) and all(line in lines for line in changed)


def main():
    modes = options.mode or ["direct", "session-close", "session", "transaction"]
    known, anywhere = reasons()
    failed = False
    table = []
    for mode in modes:
        with Cluster() as cluster:
            howdah = None if mode == "direct" else Howdah(cluster, mode)
            verdicts, out = suite(cluster, howdah.port if howdah else cluster.port)
            if howdah:
                howdah.stop()
        lost = sorted(name for name, verdict in verdicts.items() if verdict != "ok")
        passed = len(verdicts) - len(lost)
        outputs = {name: open(f"{out}/results/{name}.out", "rb").read() for name in lost}
        differences = differences_of(out)
        table.append((mode, passed, len(verdicts), outputs, differences))
        print(f"{mode}: {passed} of {len(verdicts)} pass", file=sys.stderr)
        if options.keep:
            os.makedirs(options.keep, exist_ok=True)
            if os.path.exists(f"{out}/regression.diffs"):
                shutil.copy(f"{out}/regression.diffs", f"{options.keep}/{mode}.diffs")
        shutil.rmtree(out, ignore_errors=True)
        failed |= passed < options.at_least
    print("| | pass | of |\n|---|---|---|")
    for mode, passed, total, _, _ in table:
        print(f"| {mode} | {passed} | {total} |")
    direct = next((outputs for mode, _, _, outputs, _ in table if mode == "direct"), {})
    for mode, _, _, outputs, differences in table:
        for name, output in outputs.items():
            if mode == "direct":
                reason = "another minor version than the suite's"
            elif name in direct:
                reason = "as directly" if output == direct[name] else "fails directly too, but not in the same way"
            else:
                reason = known.get(name)
                if only_adds(differences.get(name, ""), anywhere):
                    reason = "nothing but lines that explained.txt allows anywhere"
                failed |= reason is None
            print(f"- {mode}: `{name}`: {reason or 'NOT EXPLAINED'}")
            if not reason:
                print("\n".join(differences.get(name, "").splitlines()[:SHOWN_LINES]))
    shutil.rmtree(readable)
    sys.exit(failed)


main()
