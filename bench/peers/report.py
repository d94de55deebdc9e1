# SPDX-License-Identifier: Apache-2.0
"""What a run of bench_peers.py says: a line a layer, the summary, and the table and chart of docs/performance.md.

    python report.py build/peers/forward_1.json [--docs DOCS]
"""
import json
import math
import sys
from pathlib import Path


def times(row):
    """Milliseconds of the engines that gave right numbers."""
    return {engine: r["min_ms"] for engine, r in row.items() if "min_ms" in r and "error" not in r}


def best_peer(row):
    """(name, milliseconds) of the fastest engine that is not upconv, or None."""
    peers = {engine: ms for engine, ms in times(row).items() if engine != "upconv"}
    return min(peers.items(), key=lambda item: item[1]) if peers else None


def ratio(row):
    """How many times faster than the best peer upconv is, or None."""
    ours, best = times(row).get("upconv"), best_peer(row)
    return best[1] / ours if ours and best else None


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values)) if values else float("nan")


def line(s, row):
    best = best_peer(row)
    if ratio(row) is None:
        return f"{s.name}: " + "; ".join(f"{engine}: {r['error']}" for engine, r in row.items() if "error" in r)
    return f"{s.name}: {ratio(row):.2f} x {best[0]}, upconv {row['upconv']['min_ms']:.3f} ms"


def single_ratios(results):
    """{engine: (geometric mean of upconv's advantage, layers)} for each engine alone."""
    found = {}
    for layer in results["layers"]:
        t = times(layer["engines"])
        for engine, ms in t.items():
            if engine != "upconv" and "upconv" in t:
                found.setdefault(engine, []).append(ms / t["upconv"])
    return {engine: (geometric_mean(v), len(v)) for engine, v in sorted(found.items(), key=lambda item: geometric_mean(item[1]))}


def summary(results):
    ratios = {layer["name"]: ratio(layer["engines"]) for layer in results["layers"]}
    ratios = {name: r for name, r in ratios.items() if r}
    under = ", ".join(f"{name} {r:.2f}" for name, r in sorted(ratios.items(), key=lambda item: item[1]) if r < 1)
    alone = ", ".join(f"{engine} {mean:.2f}" + (f" (on {count})" if count < len(ratios) else "")
                      for engine, (mean, count) in single_ratios(results).items())
    threads = "1 thread" if results["threads"] == 1 else f"{results['threads']} threads"
    return (f"{results['pass']}, {threads}: {geometric_mean(list(ratios.values())):.2f} x the best peer of each of {len(ratios)} layers "
            f"(geometric mean).\nAgainst each engine alone: {alone}.\nUnder 1.0: {under or 'none'}.")


def table(results):
    """Markdown: how many times faster upconv is than each engine; the best peer in bold."""
    engines = list(single_ratios(results))
    lines = ["| layer | upconv, ms | " + " | ".join(engines) + " |", "|---" * (len(engines) + 2) + "|"]
    for layer in results["layers"]:
        row, t, best = layer["engines"], times(layer["engines"]), best_peer(layer["engines"])
        if ratio(row) is None:
            continue
        cells = [f"{t[e] / t['upconv']:.2f}" if e in t else "wrong" if row.get(e, {}).get("error", "").startswith("wrong") else "-" for e in engines]
        cells = [f"**{cell}**" if e == best[0] else cell for e, cell in zip(engines, cells)]
        lines.append(f"| {layer['name']} | {t['upconv']:.3f} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def chart(results):
    """SVG: a bar a layer, as long as the ratio to the best peer, longest first; a line marks 1."""
    rows = sorted(((ratio(layer["engines"]), layer["name"], best_peer(layer["engines"])) for layer in results["layers"]
                   if ratio(layer["engines"])), reverse=True)
    step, left, width = 15, 130, 640
    scale = (width - left - 110) / max(r for r, _, _ in rows)
    height = step * len(rows) + 40
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="10">',
             f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
             f'<text x="{left}" y="14" font-size="12">times faster than the fastest other engine ({results["pass"]}, threads: {results["threads"]})</text>']
    for index, (r, name, best) in enumerate(rows):
        y = 24 + step * index
        parts.append(f'<text x="{left - 6}" y="{y + 10}" text-anchor="end">{name}</text>'
                     f'<rect x="{left}" y="{y + 2}" width="{r * scale:.1f}" height="{step - 4}" fill="{"#2b7bba" if r >= 1 else "#c8553d"}"/>'
                     f'<text x="{left + r * scale + 4:.1f}" y="{y + 10}">{r:.2f} {best[0]}</text>')
    parts.append(f'<line x1="{left + scale:.1f}" x2="{left + scale:.1f}" y1="20" y2="{height - 10}" stroke="#333333" stroke-dasharray="3 3"/></svg>')
    return "\n".join(parts) + "\n"


def write_docs(results, docs):
    """Replaces what stands between the marks of this run's pass and threads in performance.md, and writes its chart."""
    name = f"peers_{results['pass']}_{results['threads']}"
    page = docs / "performance.md"
    text = page.read_text()
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    if begin not in text or end not in text:
        raise SystemExit(f"{page} has no place for {name}: the lines {begin.strip()} and {end.strip()}")
    versions = ", ".join(f"{engine}: {version}" for engine, version in results["versions"].items() if engine != "upconv")
    block = f"{summary(results)}\n\n![{name}](img/{name}.svg)\n\n{table(results)}\n\nEngines: {versions}.\n"
    page.write_text(text[:text.index(begin) + len(begin)] + "\n" + block + "\n" + text[text.index(end):])
    (docs / "img" / f"{name}.svg").write_text(chart(results))


if __name__ == "__main__":
    loaded = json.loads(Path(sys.argv[1]).read_text())
    print(summary(loaded))
    if "--docs" in sys.argv:
        write_docs(loaded, Path(sys.argv[sys.argv.index("--docs") + 1]))
