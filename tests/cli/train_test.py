# SPDX-License-Identifier: Apache-2.0
"""`upconv train` and `upconv convert` from outside: training from an architecture, resuming and Ctrl-C without a changed bit,
pictures, many processes over MPI, and errors. Usage: train_test.py UPCONV ROOT [mpi]."""
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

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

    def call(self, *arguments, launcher=()):
        # Open MPI refuses root, and more processes than processors, unless told.
        environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMPI_MCA_mpi_yield_when_idle="1")
        return subprocess.run([*launcher, UPCONV, *map(str, arguments)], capture_output=True, text=True, timeout=300, cwd=self.folder, env=environment)

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

    @unittest.skipUnless(shutil.which("mpirun"), "Open MPI is not installed")
    def test_processes_change_no_bit(self):
        if "mpi" not in sys.argv[3:]:
            self.skipTest("built without MPI")
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
