#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the command line over the corpora of make_hostile.py and more_hostile.py and compares with their expect.json.

    python hostile_test.py UPCONV [--only TEXT] [--build FOLDER]

A case passes when `upconv run`, and `upconv inspect` where the file alone or with its configuration shows the fault, end
within the corpus's budget of processor time and memory, without a signal, with one line on stderr for an error and the right output
where one is owed, and print nothing of the secret beside the files. Where strace is installed it watches them, the sandboxed process
too: they open the libraries, the files of the command line, the shards beside an index, and nothing else. `inspect` decodes in its own
process. Without numpy and h5py it runs in the environment with real
Keras of the build folder, and is skipped (77) where there is none.
"""
import argparse
import concurrent.futures
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile

try:
    import h5py  # noqa: F401  (make_hostile.py needs it)
    import numpy as np
except ImportError as error:
    if "--build" not in sys.argv:
        print(f"skipped: {error}; pip install numpy h5py")
        sys.exit(77)
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
    import keras_venv
    keras_venv.rerun_with_keras(sys.argv[sys.argv.index("--build") + 1])

FOLDER = os.path.dirname(os.path.abspath(__file__))
USAGE = 2
STRACE = ["strace", "-f", "--seccomp-bpf", "-qq", "-s", "4096", "-e", "trace=open,openat,openat2,creat", "-e", "signal=none"]
if not shutil.which("strace") or subprocess.run([*STRACE, "-o", os.devnull, "true"], stderr=subprocess.DEVNULL).returncode != 0:
    STRACE = []                                          # not installed, or not allowed here
OPENED = re.compile(r'\b(?:open|openat|openat2|creat)\((?:[A-Z_0-9]+, )?"((?:[^"\\]|\\.)*)"')
# Libraries, in every place the loader looks, their index, what the system says of itself, and the user's own defaults of Keras.
SYSTEM = re.compile(r".*/\.keras/keras\.json|/etc/(nsswitch\.conf|passwd)|(.*/)?[^/]+\.so(\.[0-9.]+)?|/etc/ld\.so\.(cache|preload)|/dev/null|/(proc|sys)/.*")


def opened(log):
    """The paths that a log of strace says were opened, or tried."""
    with open(log, encoding="utf-8", errors="replace") as file:
        return {path.encode("latin-1", "replace").decode("unicode_escape").encode("latin-1", "replace").decode("utf-8", "replace")
                for path in OPENED.findall(file.read())}


def may_open(path, arguments, scratch):
    if SYSTEM.fullmatch(path) or path.startswith(scratch) or path in arguments:
        return True
    folder, name = os.path.split(path)
    if folder in arguments and os.path.isdir(folder):
        return name in ("metadata.json", "config.json", "model.weights.h5")
    return any(re.fullmatch(re.escape(a.removesuffix(".weights.json")) + r"_\d{5}\.weights\.h5", path) for a in arguments if a.endswith(".weights.json"))


class Checker:
    def __init__(self, program, root, scratch):
        self.program, self.root, self.scratch = program, root, scratch
        with open(os.path.join(root, "expect.json")) as file:
            self.corpus = json.load(file)
        self.base = {key: os.path.join(root, path) for key, path in self.corpus["base"].items()}
        self.expected = np.load(self.base["output"])
        budget = self.corpus["budget"]
        self.seconds, self.bytes = budget["seconds"], budget["rss_growth_mib"] << 20

    def call(self, arguments, log):
        """(exit code, stderr, complaint): the program in an address space that cannot outgrow the budget by much."""
        def limit():
            resource.setrlimit(resource.RLIMIT_DATA, (self.bytes, self.bytes))
            resource.setrlimit(resource.RLIMIT_CPU, (int(self.seconds), int(self.seconds)))
        try:
            # The budget of time is processor time; the wall clock only stops a hang on a busy machine.
            done = subprocess.run([*(STRACE and [*STRACE, "-o", log]), self.program, *arguments], capture_output=True, timeout=10 * self.seconds + 10,
                                  preexec_fn=limit, env={**os.environ, "UPCONV_THREADS": "1"})
        except subprocess.TimeoutExpired:
            return 0, "", "does not end"
        error = done.stderr.decode("utf-8", "backslashreplace")
        seen = opened(log) if STRACE else {self.program}
        others = [path for path in seen if STRACE and not may_open(path, arguments, self.scratch)]
        complaint = None
        if done.returncode < 0:
            complaint = f"died of signal {-done.returncode}"
        elif others or not seen:
            complaint = f"opened {others}" if others else "was not watched"
        elif self.corpus["secret"].encode() in done.stdout + done.stderr:
            complaint = "printed the secret"
        elif done.returncode == USAGE:
            complaint = f"took it for wrong usage: {error}"
        elif done.returncode > 0 and len(error.strip().splitlines()) != 1:
            complaint = f"an error in {len(error.strip().splitlines())} lines: {error[:300]}"
        return done.returncode, error, complaint

    def commands(self, case, output):
        """The `run` command, and the `inspect` command or None."""
        path = os.path.join(self.root, case["file"])
        if case["kind"] in ("npy", "npz"):
            return ["run", self.base["model"], path, output], None
        if case["kind"] in ("weights_h5", "shards"):
            alone = ["inspect", path, "--isolation", "none"] if case["stage"] == "file" else None
            return ["run", self.base["model"], self.base["input"], output, "--weights", path], alone
        return ["run", path, self.base["input"], output], ["inspect", path, "--isolation", "none"] if case["stage"] != "run" else None

    def check(self, number, case):
        """What is wrong, or None."""
        output = os.path.join(self.scratch, f"{number}.npy")
        run, inspect = self.commands(case, output)
        log = os.path.join(self.scratch, f"{number}.log")
        code, error, complaint = self.call(run, log)
        if complaint:
            return f"run {complaint}"
        if code == 0:
            if case["expect"] == "error":
                return "run accepts it"
            if case.get("if_accepted", "equal") == "equal" and not np.array_equal(np.load(output), self.expected):
                return "run gives another output"
        elif case["expect"] == "loads":
            return f"run refuses it: {error.strip()}"
        elif os.path.exists(output):
            return "run left an output file behind"
        elif case["expect"] == "error" and not any(word in error.lower() for word in case["theme"]):
            return f"run's message has none of {case['theme']}: {error.strip()[:300]}"
        if inspect is None:
            return None
        code, error, complaint = self.call(inspect, log)
        if complaint:
            return f"inspect {complaint}"
        if code == 0 and case["expect"] == "error":
            return "inspect accepts it"
        return f"inspect refuses it: {error.strip()}" if code != 0 and case["expect"] == "loads" else None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--build", help="folder of the build, for an environment with numpy and h5py")
    parser.add_argument("--only", default="", help="cases whose file holds this text")
    arguments = parser.parse_args()
    results = [check_corpus(arguments, maker) for maker in ("make_hostile.py", "more_hostile.py")]
    count, failed = (sum(column) for column in zip(*results))
    print(f"{count - failed} of {count} hostile files give what they should" + (", and no other file is opened" if STRACE else ""))
    return 1 if failed or not count else 0


def check_corpus(arguments, maker):
    """(cases, failed cases) of the corpus that a script makes."""
    with tempfile.TemporaryDirectory() as folder:
        root, scratch = os.path.join(folder, "corpus"), os.path.join(folder, "out")
        os.mkdir(scratch)
        subprocess.run([sys.executable, os.path.join(FOLDER, maker), root], check=True, stdout=subprocess.DEVNULL)
        checker = Checker(os.path.abspath(arguments.program), root, scratch)
        cases = [case for case in checker.corpus["cases"] if arguments.only in case["file"]]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            complaints = list(pool.map(checker.check, range(len(cases)), cases))
    failed = [(case, complaint) for case, complaint in zip(cases, complaints) if complaint]
    for case, complaint in failed:
        print(f"FAIL {maker} {case['file']} ({case['what']}, expect {case['expect']}): {complaint}")
    return len(cases), len(failed)


if __name__ == "__main__":
    sys.exit(main())
