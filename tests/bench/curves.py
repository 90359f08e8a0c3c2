"""Whether a query costs more when there is more of something: clients, pools, policies, statements."""
import contextlib
import statistics
import sys
import tempfile

from parts import DIFFERENT, Cluster, end, heading, in_turn, keep, start_howdah, with_cost
from wire import Client, allow_files

target, seconds, rounds, most = sys.argv[1], *(int(number) for number in sys.argv[2:5])
# Clients that send queries.
BUSY, MANY = 16, 500
# A policy that has no opinion of what is sent here, and most policies that a chain may have.
GUARD = f"{target}/bench/wasm32-wasip2/release/query_guard.wasm"
POLICIES = 64
# Most pools: each keeps a connection to the server.
POOLS = 1_000


def idle_clients(port, count, there):
    """Clients that have sent one query and send no more."""
    for _ in range(count):
        client = there.enter_context(contextlib.closing(Client(port)))
        client.query("SELECT 1")


def many_pools(port, count, there):
    """Pools of so many users. Each has a connection to the server, which its client leaves behind."""
    for number in range(count):
        client = Client(port, f"user{number}")
        client.query("SELECT 1")
        client.close()


def chain(count):
    """So many policies, of which the last one decides."""
    if count == 1:
        return ""
    more = "".join(f'[[policy]]\nname = "guard-{number}"\npath = "{GUARD}"\ngrants = ["metrics"]\n'
                   for number in range(count - 1))
    return f'{more}[[policy]]\nname = "last"\npath = "built-in"\n'


# What there is more and more of: how much, the configuration for it, what is done before it is measured, how many
# different statements are sent, and by how many clients.
NONE = lambda port, count, there: None
CURVES = {
    "idle clients": ([0, 100, 1_000, 10_000], lambda n: "", idle_clients, lambda n: 1, BUSY),
    f"idle clients beside {MANY}": ([0, 10_000 - MANY], lambda n: "", idle_clients, lambda n: 1, MANY),
    "pools": ([1, 10, 100, POOLS], lambda n: "", many_pools, lambda n: 1, BUSY),
    "policies": ([1, 4, 16, POLICIES], chain, NONE, lambda n: 1, BUSY),
    "different statements": ([1, 10, 100, 1_000, 10_000], lambda n: "", NONE, lambda n: n, BUSY),
}


def measure(cluster, port, process, script, clients):
    """Queries per second, and microseconds of the proxy for each."""
    rate, _, cost = with_cost(process, lambda: cluster.load(port, clients, seconds, "-f", script))
    return rate, cost


def curve(cluster, directory, what):
    """Prints a row for each amount."""
    amounts, config, prepare, statements, busy = CURVES[what]
    amounts = [amount for amount in amounts if amount <= most]
    proxies, scripts, results = {}, {}, {amount: [] for amount in amounts}
    with contextlib.ExitStack() as there:
        try:
            for amount in amounts:
                limits = f"[limits]\nmax_clients = {amount + MANY + 100}\n"
                proxies[amount] = start_howdah(target, cluster.nodes, limits + config(amount))
                scripts[amount] = f"{directory}/{amount}"
                with open(scripts[amount], "w") as file:
                    file.write(DIFFERENT.format(statements(amount)))
                prepare(proxies[amount][0], amount, there)
                # Connections are opened, and answers learnt.
                cluster.load(proxies[amount][0], busy, 1, "-f", scripts[amount])
            for _ in range(rounds):
                for amount, proxy in in_turn(proxies):
                    results[amount].append(measure(cluster, *proxy, scripts[amount], busy))
        finally:
            end(proxies)
    medians = {amount: [statistics.median(column) for column in zip(*runs)] for amount, runs in results.items()}
    first_rate, first = medians[amounts[0]]
    for amount, (rate, cost) in medians.items():
        print(f"| {what} | {amount:,} | {rate:,.0f} | {rate / first_rate:.2f} | {cost:.1f} | {cost / first:.2f} |")
    keep({f"curve, {what}": cost / first, f"throughput, {what}": rate / first_rate})


allow_files(most + 4_000)
with tempfile.TemporaryDirectory(prefix="howdah-bench-") as directory:
    cluster = Cluster(target, 0, f"max_connections = {POOLS + 500}")
    try:
        cluster.sql(f"DO $$BEGIN FOR i IN 0..{POOLS - 1} LOOP "
                    "EXECUTE 'CREATE ROLE user' || i || ' LOGIN'; END LOOP; END$$")
        print(heading(cluster, ["howdah"], target,
                      f"pgbench, one SELECT by key, simple protocol, {BUSY} clients where nothing else is said, "
                      f"medians of {rounds} interleaved rounds of {seconds} s"))
        print("| more and more | how many | queries per second | × the first | CPU µs per query | × the first |")
        print("|---|---|---|---|---|---|")
        for what in CURVES:
            curve(cluster, directory, what)
    finally:
        cluster.end()
