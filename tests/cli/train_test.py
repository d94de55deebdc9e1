# SPDX-License-Identifier: Apache-2.0
"""`upconv train` and `upconv convert` from outside: training from an architecture, resuming and Ctrl-C without a changed bit,
pictures, many processes over MPI, and errors. Usage: train_test.py UPCONV ROOT [mpi]."""
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
import zipfile

sys.path.insert(0, os.path.dirname(__file__))
import files

UPCONV, ROOT = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
SUPERRES = os.path.join(ROOT, "models", "superres_training.keras")
SEVERAL_OUTPUTS = os.path.join(ROOT, "tests", "data", "keras-files", "unet.keras")


def conv(name, filters, size, strides):
    return {"module": "keras.layers", "class_name": "Conv2DTranspose",
            "config": {"name": name, "trainable": True, "dtype": "float32", "filters": filters, "kernel_size": [size, size], "strides": [strides, strides],
                       "padding": "same", "output_padding": None, "data_format": "channels_last", "dilation_rate": [1, 1], "activation": "relu",
                       "use_bias": True, "kernel_initializer": {"module": "keras.initializers", "class_name": "GlorotUniform", "config": {"seed": 3}},
                       "bias_initializer": {"module": "keras.initializers", "class_name": "Zeros", "config": {}}}}


ARCHITECTURE = {"module": "keras", "class_name": "Sequential", "config": {"name": "small", "layers": [
    {"module": "keras.layers", "class_name": "InputLayer", "config": {"batch_shape": [None, 4, 4, 2], "dtype": "float32", "name": "in"}},
    conv("up", 5, 3, 2), conv("out", 1, 3, 1)], "build_input_shape": [None, 4, 4, 2]}}


MPI = "mpi" in sys.argv[3:]
WITH_MPI = unittest.skipUnless(MPI and shutil.which("mpirun"), "built without MPI, or Open MPI is not installed")


def share_inside_backward(trace):
    """Of the time of all messages of a process, sums and waits, the part inside its backward passes."""
    with open(trace) as f:
        events = [(e["name"], e["ts"], e["ts"] + e["dur"]) for e in json.load(f)["traceEvents"]]
    passes = [(start, end) for name, start, end in events if name == "backward"]
    messages = [(start, end) for name, start, end in events if name != "backward"]
    inside = sum(max(0, min(end, last) - max(start, first)) for start, end in messages for first, last in passes)
    return inside / sum(end - start for start, end in messages)


class TrainTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        with open(self.path("model.json"), "w") as f:
            json.dump(ARCHITECTURE, f)
        n = 21
        files.write_npy(self.path("x.npy"), (n, 4, 4, 2), [math.sin(0.7 * i) for i in range(n * 32)])
        files.write_npy(self.path("y.npy"), (n, 8, 8, 1), [abs(math.cos(0.3 * i)) for i in range(n * 64)])

    def path(self, name):
        return os.path.join(self.folder, name)

    def bytes(self, name):
        with open(self.path(name), "rb") as f:
            return f.read()

    # Open MPI refuses root, and more processes than processors, unless told.
    ENVIRONMENT = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMPI_MCA_mpi_yield_when_idle="1")

    def call(self, *arguments, launcher=()):
        return subprocess.run([*launcher, UPCONV, *map(str, arguments)], capture_output=True, text=True, timeout=300, cwd=self.folder, env=self.ENVIRONMENT)

    def good(self, *arguments, **options):
        done = self.call(*arguments, **options)
        self.assertEqual(done.returncode, 0, done)
        return done.stdout

    def fails(self, code, text, *arguments):
        before = sorted(os.listdir(self.folder))
        done = self.call(*arguments)
        self.assertEqual(done.returncode, code, done)
        self.assertRegex(done.stderr, r"upconv: [^\n]+\n\Z")
        self.assertIn(text, done.stderr)
        self.assertEqual(before, sorted(os.listdir(self.folder)))

    ARRAYS = ("--data", "x.npy", "--targets", "y.npy", "--batch", 6, "--seed", 4)

    def test_trains_an_architecture_and_draws_the_curve(self):
        out = self.good("train", "model.json", *self.ARRAYS, "--epochs", 6, "--optimizer", "sgd", "--learning-rate", 0.1, "--metric", "mae", "--out", "t.keras",
                        "--log", "log.csv", "--validation", "x.npy", "--validation-targets", "y.npy")
        losses = [float(line.split("loss ")[1].split()[0]) for line in out.splitlines() if line.startswith("epoch")]
        self.assertEqual(len(losses), 6)
        self.assertLess(losses[-1], losses[0])
        self.assertIn("<svg", self.bytes("t_loss.svg").decode())
        log = self.bytes("log.csv").decode().splitlines()
        self.assertEqual((log[0], len(log)), ("epoch,loss,mae,val_loss,val_mae", 7))
        self.good("run", "t.keras", "x.npy", "y_hat.npy")
        self.assertEqual(files.read_npy(self.path("y_hat.npy"))[0], (21, 8, 8, 1))

    def test_resumes_without_a_changed_bit(self):
        self.good("train", "model.json", *self.ARRAYS, "--epochs", 4, "--out", "whole.keras")
        self.good("train", "model.json", *self.ARRAYS, "--epochs", 2, "--out", "part.keras")
        self.assertNotEqual(self.bytes("whole.keras"), self.bytes("part.keras"))
        self.good("train", "part.keras", *self.ARRAYS, "--epochs", 4, "--resume", "--out", "part.keras")
        self.assertEqual(self.bytes("whole.keras"), self.bytes("part.keras"))

    def test_threads_change_no_bit(self):
        for threads in (1, 3):
            self.good("--threads", threads, "train", "model.json", *self.ARRAYS, "--epochs", 1, "--out", f"t{threads}.keras")
        self.assertEqual(self.bytes("t1.keras"), self.bytes("t3.keras"))

    def test_an_interrupted_run_saves_and_goes_on(self):
        arguments = [*self.ARRAYS, "--steps", 400, "--epochs", 60]
        self.good("train", "model.json", *arguments, "--out", "whole.keras")
        process = subprocess.Popen([UPCONV, "train", "model.json", *map(str, arguments), "--out", "cut.keras"], cwd=self.folder,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertIn("epoch 1/60", process.stdout.readline())              # it is training by now, however busy the machine is
        process.send_signal(signal.SIGINT)
        message = process.communicate(timeout=60)[1]
        if process.returncode == 0:
            self.skipTest("the run ended before the signal")
        self.assertEqual(process.returncode, 130, message)
        self.assertIn("--resume", message)
        self.good("train", "cut.keras", *arguments, "--resume", "--out", "cut.keras")
        self.assertEqual(self.bytes("whole.keras"), self.bytes("cut.keras"))

    def test_pictures(self):
        os.mkdir(self.path("photos"))
        for name, channels in (("grey", 1), ("colour", 3)):
            files.write_png(self.path(f"photos/{name}.png"), 48, 40, channels,
                            [int(127 + 120 * math.sin(0.2 * (i // channels % 48)) * math.cos(0.3 * (i // channels // 48))) for i in range(48 * 40 * channels)])
        with open(self.path("photos/notes.txt"), "w") as f:
            f.write("no picture")
        done = self.call("train", SUPERRES, "--data", "photos", "--task", "superres", "--patch", 8, "--steps", 2, "--batch", 4, "--out", "s.keras",
                         "--learning-rate", '{"class_name": "CosineDecay", "config": {"initial_learning_rate": 0.001, "decay_steps": 10}}')
        self.assertEqual(done.returncode, 0, done)
        self.assertIn("skipped", done.stderr)
        self.assertEqual(done.stdout.count("PSNR"), 2)
        self.assertEqual(files.read_png(self.path("s_samples.png"))[0], 3 * 48 + 16)

    @WITH_MPI
    def test_processes_change_no_bit(self):
        train = ["train", "model.json", *self.ARRAYS, "--epochs", 2]
        self.good(*train, "--out", "0.keras")
        for ranks in (1, 2, 4, 8):
            out = self.good("--threads", 1, *train, "--out", f"{ranks}.keras", "--trace", "trace.json", launcher=("mpirun", "--oversubscribe", "-n", str(ranks)))
            self.assertEqual(self.bytes("0.keras"), self.bytes(f"{ranks}.keras"), f"{ranks} processes")
            self.assertEqual(out.count("written"), 1, "only rank 0 writes")
            with open(self.path("trace.json")) as f:
                self.assertEqual(ranks > 1, len(json.load(f)["traceEvents"]) > 0)
        # A checkpoint of two processes goes on with four as with one.
        self.good("--threads", 1, *train[:-1], 1, "--out", "c.keras", launcher=("mpirun", "--oversubscribe", "-n", "2"))
        self.good("--threads", 1, "train", "c.keras", *self.ARRAYS, "--epochs", 2, "--resume", "--out", "c.keras", launcher=("mpirun", "--oversubscribe", "-n", "4"))
        self.assertEqual(self.bytes("0.keras"), self.bytes("c.keras"))
        self.good("--threads", 1, *train, "--fast-reduce", "--out", "f.keras", launcher=("mpirun", "--oversubscribe", "-n", "3"))
        for arguments, text in ((["train", "missing.keras", *self.ARRAYS], "No such file"), (train, "must be 1, 2, 4 or 8")):
            done = self.call(*arguments, "--out", "e.keras", launcher=("mpirun", "--oversubscribe", "-n", "3"))
            self.assertEqual(done.returncode, 6, done)
            self.assertIn(text, done.stderr)
            self.assertFalse(os.path.exists(self.path("e.keras")))

    @WITH_MPI
    def test_an_error_of_one_process_ends_all_with_its_words(self):
        files.write_npy(self.path("nan.npy"), (21, 4, 4, 2), [math.nan] * (21 * 32))
        files.write_npy(self.path("other.npy"), (21, 4, 4, 3), [1.0] * (21 * 48))
        for changed, text in (({"--data": "missing.npy"}, "No such file"), ({"--data": "other.npy"}, "must have shape"),
                              ({"--data": "nan.npy"}, "at epoch 1, step 1 of 4: the output of layer 'in'"),
                              ({"--learning-rate": "0.2"}, "differ from those of rank 0")):       # found after 100 steps
            options = {"--data": "x.npy", "--targets": "y.npy", "--batch": "6", "--epochs": "30", "--learning-rate": "0.1", "--optimizer": "sgd", "--out": "e.keras"}
            first, second = ([word for pair in (options | change).items() for word in pair] for change in ({}, changed))
            done = self.call("train", "model.json", *first, ":", "-n", "1", UPCONV, "train", "model.json", *second,
                             launcher=("mpirun", "--oversubscribe", "-n", "1"))
            self.assertEqual(done.returncode, 6, done)
            said = {line for line in done.stderr.splitlines() if line.startswith("upconv: ")}
            self.assertEqual(len(said), 1, done)                             # both, or the one that mpirun let speak
            self.assertRegex(said.pop(), r"\Aupconv: rank 1 of 2: .*" + re.escape(text))
            self.assertFalse(os.path.exists(self.path("e.keras")))

    @WITH_MPI
    def test_an_interrupted_process_ends_all_when_the_checkpoint_is_written(self):
        arguments = [*map(str, self.ARRAYS), "--steps", "400", "--epochs", "20"]
        train = [UPCONV, "--threads", "1", "train", "model.json", *arguments, "--out", "cut.keras"]
        process = subprocess.Popen(["mpirun", "--oversubscribe", "-n", "1", *train, ":", "-n", "1", "sh", "-c", 'echo $$ >pid; exec "$@"', "sh", *train],
                                   cwd=self.folder, env=self.ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertIn("epoch 1/20", process.stdout.readline())
        os.kill(int(self.bytes("pid")), signal.SIGINT)
        message = process.communicate(timeout=60)[1]
        if process.returncode == 0:
            self.skipTest("the run ended before the signal")
        self.assertEqual(process.returncode, 130, message)
        self.good("train", "cut.keras", *arguments, "--resume", "--out", "cut.keras")
        self.good("train", "model.json", *arguments, "--out", "whole.keras")
        self.assertEqual(self.bytes("whole.keras"), self.bytes("cut.keras"))

    @WITH_MPI
    def test_half_of_the_communication_lies_inside_the_backward_pass(self):
        files.write_npy(self.path("low.npy"), (16, 32, 32, 1), [math.sin(0.7 * i) for i in range(16 * 1024)])
        files.write_npy(self.path("high.npy"), (16, 64, 64, 1), [math.cos(0.7 * i) for i in range(16 * 4096)])
        shares = []
        while len(shares) < 20 and max(shares, default=0) < 0.5:             # other work on the machine makes processes wait for each other
            self.good("--threads", 1, "train", SUPERRES, "--data", "low.npy", "--targets", "high.npy", "--batch", 16, "--epochs", 5, "--out", "t.keras",
                      "--trace", "trace.json", launcher=("mpirun", "--oversubscribe", "-n", "2"))
            shares += [share_inside_backward(self.path(name)) for name in ("trace.json", "trace.json.1")]
        self.assertGreaterEqual(max(shares), 0.5, shares)

    def test_an_npz_with_sample_weights(self):
        files.write_npy(self.path("sample_weight.npy"), (21,), [1.0] * 9 + [0.0] * 12)
        for name, members in (("plain.npz", "xy"), ("weighted.npz", ("x", "y", "sample_weight"))):
            with zipfile.ZipFile(self.path(name), "w") as archive:
                for member in members:
                    archive.write(self.path(member + ".npy"), member + ".npy")
        rest = ("--batch", 6, "--seed", 4, "--epochs", 2)
        for name in ("plain", "weighted"):
            self.good("train", "model.json", "--data", name + ".npz", *rest, "--out", name + ".keras")
        self.good("train", "model.json", *self.ARRAYS, "--epochs", 2, "--out", "arrays.keras")
        self.assertEqual(self.bytes("arrays.keras"), self.bytes("plain.keras"))
        self.assertNotEqual(self.bytes("arrays.keras"), self.bytes("weighted.keras"))

    def test_a_checkpoint_of_another_model_or_optimizer_is_refused(self):
        other = json.loads(json.dumps(ARCHITECTURE))
        other["config"]["layers"][1]["config"]["filters"] = 6
        with open(self.path("other.json"), "w") as f:
            json.dump(other, f)
        for name, model, optimizer in (("adam", "model.json", "adam"), ("sgd", "model.json", "sgd"), ("wide", "other.json", "adam")):
            self.good("train", model, *self.ARRAYS, "--optimizer", optimizer, "--out", name + ".keras")
        for name in ("sgd", "wide"):                                         # the configuration of one, the weights and slots of the other
            with zipfile.ZipFile(self.path("adam.keras")) as one, zipfile.ZipFile(self.path(name + ".keras")) as two, \
                    zipfile.ZipFile(self.path(f"{name}_mixed.keras"), "w") as mixed:
                for member in one.namelist():
                    mixed.writestr(member, (two if member.endswith(".h5") else one).read(member))
            self.fails(3, f"{name}_mixed.keras", "train", f"{name}_mixed.keras", *self.ARRAYS, "--epochs", 2, "--resume", "--out", "t.keras")
        with open(self.path("cut.keras"), "wb") as f:
            f.write(self.bytes("adam.keras")[:-100])
        self.fails(3, "cut.keras", "train", "cut.keras", *self.ARRAYS, "--epochs", 2, "--resume", "--out", "t.keras")

    def test_errors(self):
        self.fails(2, "--out is a .keras file", "train", "model.json", *self.ARRAYS, "--out", "t.h5")
        self.fails(4, "No such file", "train", "model.json", "--data", "missing.npz", "--out", "t.keras")
        self.fails(2, "needs --task superres", "train", "model.json", "--data", ".", "--out", "t.keras")
        self.fails(2, "Did you mean 'adam'", "train", "model.json", *self.ARRAYS, "--optimizer", "adamm", "--out", "t.keras")
        self.fails(2, "Could not interpret loss", "train", "model.json", *self.ARRAYS, "--loss", "mmse", "--out", "t.keras")
        files.write_npy(self.path("short.npy"), (3, 8, 8, 1), [0.0] * 192)
        files.write_npy(self.path("nan.npy"), (21, 4, 4, 2), [math.nan] * (21 * 32))
        self.fails(2, "Data cardinality", "train", "model.json", "--data", "x.npy", "--targets", "short.npy", "--out", "t.keras")
        self.fails(3, "was not compiled", "train", os.path.join(ROOT, "models", "superres.keras"), *self.ARRAYS, "--resume", "--out", "t.keras")
        self.fails(5, "step 1", "train", "model.json", "--data", "nan.npy", "--targets", "y.npy", "--out", "t.keras")


class ConvertTest(unittest.TestCase):
    def test_forms_and_back(self):
        with tempfile.TemporaryDirectory() as folder:
            def call(*arguments):
                return subprocess.run([UPCONV, *arguments], capture_output=True, text=True, cwd=folder)
            for out in ("a.keras", "a.h5", "a.weights.h5", "a.weights.json", "a.npz"):
                self.assertEqual(call("convert", SUPERRES, out).returncode, 0)
            results = set()
            for weights in ("a.weights.h5", "a.weights.json", "a.npz"):
                self.assertEqual(call("convert", "a.h5", "b.keras", "--weights", weights).returncode, 0)
                with open(os.path.join(folder, "b.keras"), "rb") as f:
                    results.add(f.read())
            self.assertEqual(len(results), 1)
            self.assertIn("optimizer state", call("inspect", "a.keras").stdout.lower())
            self.assertEqual(call("convert", SEVERAL_OUTPUTS, "w.npz").returncode, 0)        # cannot be run, weights can be taken
            done = call("convert", SUPERRES, "a.txt")
            self.assertEqual((done.returncode, done.stderr.count("\n")), (2, 1))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
