"""Bars: CPU time per query as a ratio to PgBouncer's, and queries per second as a share of a direct connection's."""
from xml.sax.saxutils import escape

STYLE = """text { font: 13px sans-serif; fill: #1f2328 }
.bar { fill: #8c959f } .own { fill: #0969da } .one { stroke: #57606a }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .bar { fill: #6e7681 } .own { fill: #4493f8 }
.one { stroke: #9198a1 } }"""
# In pixels: of a row, of the names before the bars, of a bar of 1.0, and the longest one.
ROW, NAMES, UNIT, LONGEST = 18, 110, 100, 260
WIDTH = NAMES + LONGEST + 50


def panel(left, title, groups):
    """A group of bars for each mode, and a line at 1.0; its elements and how high it is."""
    y, found = 20, [f'<text x="{left}" y="20" font-weight="bold">{escape(title)}</text>']
    for mode, bars in groups.items():
        y += ROW + 6
        found.append(f'<text x="{left}" y="{y}">{mode}</text>')
        for name, value in bars.items():
            y += ROW
            length, kind = min(value * UNIT, LONGEST), "own" if name == "howdah" else "bar"
            found.append(f'<text x="{left + NAMES - 6}" y="{y}" text-anchor="end">{escape(name)}</text>'
                         f'<rect class="{kind}" x="{left + NAMES}" y="{y - 12}" width="{length:.1f}" height="14"/>'
                         f'<text x="{left + NAMES + length + 5:.1f}" y="{y}">{value:.2f}</text>')
    line = left + NAMES + UNIT
    found.append(f'<line class="one" x1="{line}" x2="{line}" y1="28" y2="{y + 6}" stroke-dasharray="3 3"/>')
    return found, y + 20


def picture(results, clients, modes):
    """An SVG of `results` (clients, mode, name: tps, latency, CPU) for one number of clients."""
    cost, share = {}, {}
    for mode in modes:
        found = {name: run for (count, m, name), run in results.items() if (count, m) == (clients, mode)}
        if "PgBouncer" in found:
            cost[mode] = {name: run[2] / found["PgBouncer"][2] for name, run in found.items() if name != "direct"}
        share[mode] = {name: run[0] / found["direct"][0] for name, run in found.items() if name != "direct"}
    left, low = panel(10, f"CPU per query, × PgBouncer, {clients} clients", cost)
    right, lower = panel(10 + WIDTH, f"throughput, share of direct, {clients} clients", share)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH + 10} {max(low, lower)}" role="img">\n'
            f"<style>{STYLE}</style>\n" + "\n".join(left + right) + "\n</svg>\n")
