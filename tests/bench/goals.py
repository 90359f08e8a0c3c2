"""All goals beside what is measured, by the other benchmarks, one after the other; prints their tables too."""
import json
import os
import subprocess
import sys
import tempfile

from parts import MODES

NUMBERS, PICTURE = sys.argv[1:3], sys.argv[3:4]
here = os.path.dirname(os.path.abspath(__file__))
COMMANDS = [["peers", *NUMBERS, *(f"--svg={file}" for file in PICTURE)], ["latency", *NUMBERS],
            ["share", *NUMBERS], ["policy", *NUMBERS], ["idle"], ["connections", *NUMBERS], ["tls", *NUMBERS], ["bytes", *NUMBERS],
            ["options", *NUMBERS], ["curves", *NUMBERS]]
CURVES = ["idle clients", "pools", "policies", "different statements"]
# A goal in words; its figures, as the benchmarks keep them; what they may be at most (where it is negative, at least), and
# their unit.
GOALS = [
    ("1. CPU per query, × PgBouncer, 16 clients", [f"CPU, 16 clients, {mode}" for mode in MODES], 0.9, ""),
    ("1. CPU per query, × PgBouncer, 64 clients", [f"CPU, 64 clients, {mode}" for mode in MODES], 0.9, ""),
    ("1. throughput, × PgBouncer, 64 clients", [f"throughput, 64 clients, {mode}" for mode in MODES], -1.1, ""),
    ("1. latency added to one client, median, × PgBouncer", [f"latency, {mode}" for mode in MODES], 1, ""),
    ("2. policies' share of the CPU time, remembered", [f"policies, remembered, {mode}" for mode in MODES], 0.02, "%"),
    ("2. the same, asked every time", [f"policies, asked every time, {mode}" for mode in MODES], 0.05, "%"),
    ("2. what asking every time adds to the CPU time without a policy", [f"asking adds, {mode}" for mode in MODES], 0.05, "%"),
    ("2. what a swap adds to the slowest query of its time, median", ["a swap adds"], 1, "ms"),
    ("3. CPU per query over three nodes, × one", [f"three nodes, {mode}" for mode in MODES], 1.15, ""),
    ("4. bytes per CPU second, × HAProxy", [f"bytes, {load}" for load in ("a result", "COPY TO", "COPY FROM")], -0.9, ""),
    ("4. memory grown by that", ["memory grown"], 4096, "KiB"),
    ("5. an idle client", ["an idle client"], 4, "KiB"),
    ("5. throughput of 500 clients with 9,500 idle ones, × without", ["throughput, idle clients beside 500"], -0.98, ""),
    ("6. CPU per connection with SCRAM, × PgBouncer", ["a connection"], 1, ""),
    ("6. CPU per connection with TLS, SCRAM and a query, × PgBouncer", ["TLS, connection with one query"], 1, ""),
    ("7. CPU of proxy and server per query, unnamed statements prepared once, × no proxy", ["no proxy, CPU"], 1, ""),
    ("7. throughput of that, × no proxy", ["no proxy, throughput"], -1, ""),
    ("8. CPU per query with the most of " + ", ".join(CURVES) + ", × the least", [f"curve, {one}" for one in CURVES], 1.1, ""),
]


def shown(figure, unit):
    if figure is None:
        return "—"
    return {"%": f"{100 * figure:.1f} %", "KiB": f"{figure:,.1f} KiB", "ms": f"{figure:.2f} ms"}.get(unit, f"{figure:.2f}")


with tempfile.NamedTemporaryFile("r", prefix="howdah-bench-") as file:
    for command in COMMANDS:
        print(f"### `run {' '.join(command)}`\n", flush=True)
        subprocess.run([f"{here}/run", *command], env={**os.environ, "FIGURES": file.name}, check=True)
        print(flush=True)
    figures = {}
    for line in file:
        figures |= json.loads(line)

print(f"### All goals (`tests/bench/run goals {' '.join(NUMBERS)}`)\n")
print("| goal | at most, or at least | measured | met |")
print("|---|---|---|---|")
for goal, names, limit, unit in GOALS:
    found = [figures.get(name) for name in names]
    there = [figure for figure in found if figure is not None]
    good = sum(figure >= -limit if limit < 0 else figure <= limit for figure in there)
    met = "no figures" if not there else "yes" if good == len(there) else f"{good} of {len(there)}" if good else "no"
    bound = f"{'≥' if limit < 0 else '≤'} {shown(abs(limit), unit)}"
    print(f"| {goal} | {bound} | {', '.join(shown(figure, unit) for figure in found)} | {met} |")
