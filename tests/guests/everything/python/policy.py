"""Has every hook, and uses all that the host offers: SELECT 'nodes' is answered with what the interface nodes says."""

import howdah
from componentize_py_types import Err
from howdah import Kind, Remember, catalog, clock, kv, metrics, nodes, random

# What the hooks were told.
seen, gone, kept = "", "", ""
observed, rows, ticks = 0, 0, 0


def configure(settings):
    howdah.only(settings, "greeting")


def session(client):
    if client.user != "alice" or client.address != "::1":
        return howdah.refuse_client("28000", "who?")
    return howdah.accept(session_class=7, priority=3, settings=[("application_name", "everything")])


def closed(id):
    global gone
    gone = str(id)


def rewrite(statement):
    if statement.sql == "SELECT 'rewrite'":
        return howdah.changed("SELECT 'rewritten'", Remember.TEXT)
    return howdah.unchanged(Remember.DIGEST)


def topology(epoch, nodes):
    global seen
    seen = names(nodes)


def retry(failure, statement):
    at = (failure.sqlstate, failure.node, failure.role.name, failure.safety.name, failure.attempt)
    known = at == ("57P01", "a", "REPLICA", "READ", 1)
    if known and statement.sql == "SELECT 1" and statement.kind == Kind.READ:
        return howdah.again("another", 5)
    return howdah.give_up()


def observe(batch):
    global observed, rows
    for one in batch:
        if (one.node, one.sqlstate, one.digest, one.source.name) == ("a", None, 7, "POLICY"):
            observed += 1
            rows += one.rows


def tick():
    global ticks
    ticks += 1
    return 10


def snapshot():
    return kept.encode() + b"x"


def restore(state):
    global kept
    if len(state) > 2:
        raise ValueError("enough")
    kept = state.decode()


def route(statement):
    return howdah.answer(["value"], [[told()]]).always_ask()


def names(nodes):
    return " ".join(f"{node.cluster}/{node.name}/{truth(node.up)}" for node in nodes)


def truth(value):
    return "true" if value else "false"


def told():
    match howdah.literal(0):
        case "setting":
            return howdah.setting("greeting")
        case "tag":
            return howdah.tag("app")
        case "who":
            return f"{howdah.user()}/{howdah.database()}/{howdah.application_name()}"
        case "relations":
            return " ".join(howdah.relations())
        case "parameter":
            return howdah.parameter(1)
        case "log":
            howdah.info("told")
            return "true"
        case "metrics":
            metrics.count("counted", 1)
            metrics.gauge("gauge", 0.5)
            metrics.observe("observed", 7)
            return "true"
        case "clock":
            return truth(clock.monotonic_ns() <= clock.monotonic_ns() and clock.wall_ms() > 0)
        case "random":
            return truth(random.next() != random.next())
        case "nodes":
            return names(nodes.all())
        case "catalog":
            immutable = catalog.Volatility.IMMUTABLE
            return truth(catalog.function(None, "f") == immutable and catalog.function("s", "f") == immutable)
        case "kv":
            return truth(shared())
        case "hooks":
            return f"{seen} {gone} {observed} {rows} {truth(ticks > 0)}"
        case "state":
            return kept
    return "?"


def shared():
    """Whether shared values do as they should."""
    sums = (kv.increment("n", 1, None), kv.increment("n", 2, 1_000))
    kv.set("k", b"v", None)
    swapped = (kv.compare_and_swap("k", None, b"w", None), kv.compare_and_swap("k", b"v", b"w", None))
    value = kv.get("k")
    not_a_number = fails(lambda: kv.increment("k", 1, None))
    kv.delete("k")
    too_large = fails(lambda: kv.set("", b"", None))
    return (sums, swapped, value) == ((1, 3), (False, True), b"w") and not_a_number and too_large and not kv.get("k")


def fails(work):
    try:
        work()
    except Err:
        return True
    return False
