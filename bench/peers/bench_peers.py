# SPDX-License-Identifier: Apache-2.0
"""upconv and other engines on the same layers, interleaved: every layer is built by every engine, its numbers are held to one specification,
and the engines are timed in turns, so that a machine that slows down slows all of them. Layers at batch size and layout of the shapes file,
weights prepared beforehand, warm; upconv is called from Python as `layer(x, out=y)`.

    ./dev bench --peers                          every engine that installs, one thread
    ./dev bench --peers --threads 2
    ./dev bench --peers --train                  forward + dX + dW + db, bench/training_shapes.csv
    ./dev bench --peers --only fcn8s,enet_b4 --engines upconv,ort,onednn

Writes build/peers/forward_1.json (forward or train, threads); with --docs also the table and chart of docs/performance.md.
"""
import argparse
import json
import math
import tempfile
import time
from pathlib import Path

import numpy as np

import report
from geometry import load_shapes, make_data, reference
from worker import INFERENCE, TRAINING, Worker

BENCH = Path(__file__).resolve().parent.parent


def start(engines, arguments):
    """The workers of the engines that can be set up, and what they call themselves; the others are told."""
    workers, versions = {}, {}
    for engine in engines:
        worker = Worker(engine, arguments.threads, arguments.environments)
        answer = worker.ask("setup", 120)
        if answer["ok"]:
            workers[engine], versions[engine] = worker, answer["version"]
        print(f"{engine}: {answer['version'] if answer['ok'] else 'left out, ' + answer['error']}", flush=True)
    return workers, versions


def write_data(s, data, train):
    x, k, b = make_data(s)
    for name, array in zip("xkb", (x, k, b)):
        np.save(f"{data}.{name}.npy", array)
    if train:
        np.save(data + ".dy.npy", np.random.default_rng(1).standard_normal((s.n, s.oh, s.ow, s.f), np.float32))
    else:
        np.save(data + ".y.npy", reference(s, x, k, b))


def build(s, workers, exporter, data, row, arguments):
    """Builds a layer in every engine and holds its numbers to the specification; `row` gets what went wrong. Returns who can be timed."""
    write_data(s, data, arguments.train)
    if exporter:
        exporter.ask("export", 60, shape=s.row(), data=data)
    ready = []
    for engine, worker in workers.items():
        known = row.setdefault(engine, {})
        if "error" in known or known.get("slow"):
            continue
        answer = worker.ask("build", arguments.limit, shape=s.row(), data=data, train=arguments.train)
        if answer["ok"] and not arguments.train:
            known["info"] = answer["info"]
            answer = worker.ask("check", arguments.limit, data=data)
            if answer["ok"] and not answer["max_abs_error"] < 1e-3 * max(1, math.sqrt(s.c / 64)):
                answer = {"ok": False, "error": f"wrong by {answer['max_abs_error']:.3g}"}
        if answer["ok"]:
            ready.append(engine)
        else:
            known["error"] = answer["error"]
    return ready


def time_layer(ready, workers, row, arguments):
    """Times the engines in turns; one that is 20 times slower than the best is not asked again."""
    for _ in range(arguments.rounds):
        for engine in list(ready):
            answer = workers[engine].ask("time", arguments.limit, seconds=arguments.seconds)
            known = row[engine]
            if not answer["ok"]:
                known["error"] = answer["error"]
                ready.remove(engine)
                continue
            known["min_ms"] = min(answer["min_ms"], known.get("min_ms", math.inf))
            known["median_ms"] = min(answer["median_ms"], known.get("median_ms", math.inf))
            if known["min_ms"] > 20 * min(r["min_ms"] for r in row.values() if "min_ms" in r):
                known["slow"] = True
                ready.remove(engine)


def parse():
    parser = argparse.ArgumentParser(prog="./dev bench --peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", help="a CSV file as for `upconv bench`")
    parser.add_argument("--only", default="", help="names of layers, comma between them")
    parser.add_argument("--engines", default="", help="names of engines, comma between them; upconv is always among them")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--train", action="store_true", help="time forward + dX + dW + db")
    parser.add_argument("--seconds", type=float, default=0.1, help="of calls at a turn")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each engine at a layer, a pass")
    parser.add_argument("--passes", type=int, default=2, help="passes over all layers")
    parser.add_argument("--limit", type=float, default=60, help="seconds that building a layer or a turn may take")
    parser.add_argument("--environments", required=True, help="the folder that environments.sh made")
    parser.add_argument("--out", required=True, help="the folder of the results")
    parser.add_argument("--docs", action="store_true", help="write the table and the chart of docs/performance.md")
    return parser.parse_args()


def main():
    arguments = parse()
    started = time.monotonic()
    shapes = load_shapes(arguments.shapes or BENCH / ("training_shapes.csv" if arguments.train else "shapes.csv"), arguments.only)
    engines = arguments.engines.split(",") if arguments.engines else TRAINING if arguments.train else INFERENCE
    unknown = set(engines) - set(TRAINING if arguments.train else INFERENCE)
    if unknown:
        raise SystemExit(f"no engine is named {', '.join(unknown)}; there are {', '.join(TRAINING if arguments.train else INFERENCE)}")
    workers, versions = start(dict.fromkeys(["upconv", *engines]), arguments)
    if "upconv" not in workers or len(workers) < 2:
        raise SystemExit("upconv and at least one other engine are needed")
    exporter = Worker("export", arguments.threads, arguments.environments) if "litert" in workers else None
    table = {s.name: {} for s in shapes}
    with tempfile.TemporaryDirectory(prefix="upconv_peers_") as folder:
        for number in range(arguments.passes):
            for index, s in enumerate(shapes):
                row = table[s.name]
                time_layer(build(s, workers, exporter, folder + "/layer", row, arguments), workers, row, arguments)
                print(f"[{number * len(shapes) + index + 1}/{arguments.passes * len(shapes)}] {report.line(s, row)}", flush=True)
    for worker in [*workers.values(), *([exporter] if exporter else [])]:
        worker.close()
    results = {"threads": arguments.threads, "pass": "train" if arguments.train else "forward", "versions": versions,
               "layers": [{**s.row(), "flop": s.flop, "engines": table[s.name]} for s in shapes]}
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{results['pass']}_{arguments.threads}.json"
    path.write_text(json.dumps(results, indent=1))
    print(report.summary(results))
    if arguments.docs:
        report.write_docs(results, BENCH.parent / "docs")
    print(f"wrote {path} in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
