# SPDX-License-Identifier: Apache-2.0
"""A process for one engine, and the parent's hold on it. They speak JSON, a line each way, over stdin and stdout.

    python worker.py ENGINE THREADS        serves setup, build, export, check and time until stdin ends
"""
import json
import os
import select
import statistics
import subprocess
import sys
import time
from pathlib import Path

# What each environment of environments.sh holds. "any": oneDNN's own layouts; "nhwc": transposes that OpenVINO removes.
ENVIRONMENTS = {"jax": "a", "tf": "a", "tf_xla": "a", "tf_onednn": "a", "ort": "a", "openvino": "a", "openvino_nhwc": "a", "export": "a",
                "onednn": "a", "onednn_any": "a", "onednn_old": "a", "ncnn": "b", "mnn": "b", "litert": "b",
                "torch": "torch", "torch_packed": "torch", "upconv": "upconv"}
INFERENCE = "upconv onednn onednn_any onednn_old ort openvino openvino_nhwc litert ncnn mnn jax tf tf_xla tf_onednn torch torch_packed".split()
TRAINING = "upconv torch tf tf_xla jax".split()


def measure(run, seconds):
    """The fastest and the median call of about `seconds` of calls, at least two unless one takes all the time."""
    clock, times = time.perf_counter, []
    started = clock()
    run()
    if clock() - started > 4 * seconds:
        return {"min_ms": 1e3 * (clock() - started), "median_ms": 1e3 * (clock() - started), "calls": 1}
    while len(times) < 2 or sum(times) < seconds:
        started = clock()
        run()
        times.append(clock() - started)
    return {"min_ms": 1e3 * min(times), "median_ms": 1e3 * statistics.median(times), "calls": len(times)}


class Server:
    """Answers the parent's questions about one engine."""

    def __init__(self, engine, threads):
        import engines
        self.engine, self.threads, self.call, self.output = engines.CLASSES[engine](), threads, None, None

    def setup(self, question):
        return {"version": self.engine.setup(self.threads)}

    def build(self, question):
        import numpy as np
        from geometry import Shape
        s, data = Shape(question["shape"]), question["data"]
        x, k, b = (np.load(f"{data}.{v}.npy") for v in "xkb")
        self.call = self.output = None
        if question["train"]:
            self.call, info = self.engine.train(s, x, k, b, np.load(data + ".dy.npy"))
            self.call()  # compiles
        else:
            self.call, self.output, info = self.engine.build(s, x, k, b, {"tflite": data + ".tflite"})
        return {"info": info}

    def export(self, question):
        import numpy as np
        from geometry import Shape
        data = question["data"]
        self.engine.export(Shape(question["shape"]), *(np.load(f"{data}.{v}.npy") for v in "xkb"), data + ".tflite")
        return {}

    def check(self, question):
        import numpy as np
        self.call()
        expected, y = np.load(question["data"] + ".y.npy"), np.asarray(self.output())
        if y.shape != expected.shape:
            raise ValueError(f"shape {y.shape}, not {expected.shape}")
        return {"max_abs_error": float(np.abs(y - expected).max())}

    def time(self, question):
        return measure(self.call, question["seconds"])


def serve(engine, threads):
    answers = os.fdopen(os.dup(1), "w")  # whatever a library prints goes to stderr
    os.dup2(2, 1)
    server = Server(engine, threads)
    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer = {"ok": True, **getattr(server, question["verb"])(question)}
        except Exception as error:  # told to the parent; the worker goes on
            answer = {"ok": False, "error": f"{type(error).__name__}: {error}"[:300]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


class Worker:
    """An engine's process. A question that outlives its limit ends the process; the next one starts another."""

    def __init__(self, engine, threads, environments):
        self.command = [str(Path(environments) / ENVIRONMENTS[engine] / "bin" / "python"), str(Path(__file__).resolve()), engine, str(threads)]
        self.cores = set(sorted(os.sched_getaffinity(0))[:threads])
        self.variables = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads), TF_CPP_MIN_LOG_LEVEL="3",
                              JAX_PLATFORMS="cpu", TF_ENABLE_ONEDNN_OPTS=str(int(engine == "tf_onednn")))
        if engine == "jax" and threads == 1:
            self.variables["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
        if engine.startswith("onednn"):
            folder = Path(environments) / ("d" if engine == "onednn_old" else "c")
            self.variables.update(ONEDNN_SO=str(folder) + ".so", LD_LIBRARY_PATH=f"{folder}/lib", OCL_ICD_FILENAMES=f"{folder}/lib/libintelocl.so")
        self.process = None

    def ask(self, verb, limit=60, **rest):
        questions = [{"verb": verb, **rest}]
        if self.process is None or self.process.poll() is not None:
            try:
                self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                                env=self.variables, preexec_fn=lambda: os.sched_setaffinity(0, self.cores))
            except OSError as error:
                return {"ok": False, "error": f"{self.command[0]}: {error.strerror}"}
            questions = questions if verb == "setup" else [{"verb": "setup"}, *questions]
        line = ""
        try:
            for question in questions:
                self.process.stdin.write(json.dumps(question) + "\n")
                self.process.stdin.flush()
                if not select.select([self.process.stdout], [], [], limit)[0]:
                    self.process.kill()
                    self.process.wait()
                    return {"ok": False, "error": f"{verb} took more than {limit} s"}
                line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            return {"ok": False, "error": f"the process ended in {verb} (exit status {self.process.wait()})"}
        return json.loads(line)

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
