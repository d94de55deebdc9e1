# SPDX-License-Identifier: Apache-2.0
"""The command line from outside: every command, every exit code, one line for every error. Usage: cli_test.py UPCONV ROOT."""
import json
import math
import os
import pathlib
import pty
import select
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import xml.etree.ElementTree as ElementTree
import zipfile

sys.path.insert(0, os.path.dirname(__file__))
import files

UPCONV, ROOT = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
MODELS = os.path.join(ROOT, "models")
SUPERRES = os.path.join(MODELS, "superres.keras")


def model(name):
    return os.path.join(MODELS, name)


def environment():
    return {k: v for k, v in os.environ.items() if k not in ("UPCONV_ISA", "UPCONV_THREADS", "KERAS_HOME")}


class CliTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def bytes(self, name):
        return pathlib.Path(self.path(name)).read_bytes()

    def call(self, *arguments, **options):
        return subprocess.run([UPCONV, *map(str, arguments)], capture_output=True, text=True, timeout=120,
                              cwd=self.folder, env=options.pop("env", environment()), **options)

    def good(self, *arguments, **options):
        done = self.call(*arguments, **options)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done)
        return done.stdout

    def fails(self, code, text, *arguments, **options):
        before = sorted(os.listdir(self.folder))
        done = self.call(*arguments, **options)
        self.assertEqual(done.returncode, code, done)
        self.assertRegex(done.stderr, r"\Aupconv: [^\n]+\n\Z")
        self.assertIn(text, done.stderr)
        self.assertEqual(sorted(os.listdir(self.folder)), before, "a failed call left a file")


class Help(CliTest):
    def test_every_command_is_on_the_help_page_and_has_its_own(self):
        page = self.good("--help")
        for command in ("inspect", "run", "explain", "bench"):
            self.assertIn(command, page)
            self.assertIn(f"upconv {command} ", self.good(command, "--help"))
        for code in ("0 done", "2 wrong arguments", "3 a file", "4 a file", "130 and 143"):
            self.assertIn(code, page)

    def test_version(self):
        self.assertRegex(self.good("--version"), r"\Aupconv \d+\.\d+\.\d+\n\Z")

    def test_usage_errors(self):
        self.fails(2, "subcommand is required")
        self.fails(2, "--nonsense", "explain", "--input", "3x3x1", "--kernel", "2", "--nonsense")
        self.fails(2, "--threads", "--threads", "-1", "explain", "--input", "3x3x1", "--kernel", "2")
        self.fails(2, "AVX9", "--isa", "AVX9", "explain", "--input", "3x3x1", "--kernel", "2")

    def test_the_argument_wins_over_the_environment(self):
        env = environment() | {"UPCONV_ISA": "SCALAR", "UPCONV_THREADS": "1"}
        self.assertIn("SCALAR, 1 thread,", self.good("bench", "--only", "page", "--rounds", "1", env=env))
        best = self.good("bench", "--only", "page", "--rounds", "1", "--isa", "SCALAR", "--threads", "2", env=environment())
        self.assertIn("SCALAR, 2 threads,", best)

    def test_a_full_standard_output_is_an_error(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run([UPCONV, "explain", "--input", "3x3x1", "--kernel", "2"], stdout=full,
                                  stderr=subprocess.PIPE, text=True, env=environment())
        self.assertEqual((done.returncode, done.stderr), (4, "upconv: standard output: cannot be written\n"))


class Explain(CliTest):
    def test_the_page_example(self):
        text = self.good("explain", "--input", "4x10x8x128", "--filters", "32", "--kernel", "2", "--strides", "2")
        for line in ("input   (4, 10, 8, 128)", "output  (4, 20, 16, 32)", "16,384 weights, 32 biases", "no checkerboard", "Algorithm "):
            self.assertIn(line, text)

    def test_crop_taps_and_checkerboard(self):
        text = self.good("explain", "--input", "4x5x1", "--kernel", "4x3", "--strides", "2", "--padding", "same")
        for pattern in (r"natural size\s+10\s+11", r"output\s+8\s+10", r"cropped left\s+1\s+0", r"cropped right\s+1\s+1",
                        r"taps per phase\s+2 2\s+2 1", r"output row:\s+1 2 2 2 2 2 2 1\n", r"output column:\s+1 1 2 1 2 1 2 1 2 1\n",
                        r"Warning: kernel size % stride is not 0 \(width 3 % 2 = 1\)", r"Kernel size 4x4 would be even"):
            self.assertRegex(text, pattern)

    def test_holes_and_dilation(self):
        self.assertIn("some by none", self.good("explain", "--input", "3x3x1", "--kernel", "1", "--strides", "2"))
        self.assertRegex(self.good("explain", "--input", "3x3x1", "--kernel", "3", "--dilation", "2"), r"effective kernel\s+5\s+5")

    def test_an_empty_input(self):
        text = self.good("explain", "--input", "0x4x1", "--kernel", "1", "--strides", "2", "--svg", self.path("p.svg"))
        self.assertRegex(text, r"natural size\s+0\s+7")
        self.assertIn("output  (1, 0, 8, 1)", text)

    def test_target_size(self):
        text = self.good("explain", "--input", "7x7x1", "--kernel", "3", "--strides", "2", "--padding", "same", "--target", "13x20")
        self.assertIn("height 7 -> 13: output_padding=0", text)
        self.assertIn("width 7 -> 20: no output_padding gives it; None gives 14, 0 to 1 give 13 to 14", text)

    def test_picture(self):
        self.good("explain", "--input", "4x4x1", "--kernel", "3", "--strides", "2", "--padding", "same", "--svg", self.path("p.svg"))
        root = ElementTree.parse(self.path("p.svg")).getroot()
        texts = [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")]
        self.assertIn("input 4 x 4", texts)
        self.assertIn("output 8 x 8", texts)
        self.assertEqual(sum(t == "4" for t in texts), 9)       # the cells that four kernel elements reach
        self.good("explain", "--input", "4000x4000x1", "--kernel", "4", "--strides", "2", "--svg", self.path("large.svg"))
        self.assertLess(os.path.getsize(self.path("large.svg")), 100_000)

    def test_the_pictures_of_the_documentation_are_up_to_date(self):
        images = pathlib.Path(ROOT, "docs", "img")
        lines = [l.split() for l in (images / "make.sh").read_text().splitlines() if l.startswith("draw ")]
        self.assertEqual({l[1] + ".svg" for l in lines}, {p.name for p in images.glob("k*.svg")})
        for _, name, *arguments in lines:
            self.good("explain", "--svg", "p.svg", *arguments)
            self.assertEqual(self.bytes("p.svg"), (images / f"{name}.svg").read_bytes(), name)

    def test_errors(self):
        call = lambda *a: ("explain", "--input", "4x4x1", "--kernel", "3", *a)
        self.fails(2, "output_padding=(2, 2)", *call("--strides", "2", "--output-padding", "2"))
        self.fails(2, "dilation_rate", *call("--strides", "2", "--dilation", "2"))
        self.fails(2, "Received", *call("--filters", "0"))
        self.fails(2, "full", *call("--padding", "full"))
        self.fails(2, "--input", "explain", "--input", "4x4", "--kernel", "3")
        self.fails(2, "10x8x128", "explain", "--input", "fourxfourx1", "--kernel", "3")
        self.fails(2, "size", "explain", "--input", f"{2**62}x4x1", "--kernel", "3", "--strides", "4")
        self.fails(2, "at most", "explain", "--input", "4x4x1", "--kernel", "2000000000")
        self.fails(2, "too large to draw", "explain", "--input", "4x4x1", "--kernel", "300", "--svg", self.path("p.svg"))
        self.fails(2, "nonsense", *call("--algorithm", "nonsense"))
        self.fails(4, "No such file", *call("--svg", self.path("no/such/folder.svg")))


class Inspect(CliTest):
    def test_table_and_facts(self):
        text = self.good("inspect", SUPERRES)
        for part in ('Model: "superres" (Sequential)', "upsample (Conv2DTranspose)", "(None, None, None, 1)", "2,593",
                     "Total params: 13,777", "Keras 3.15.1", "not compiled"):
            self.assertIn(part, text)
        self.assertIn("with optimizer state", self.good("inspect", model("superres_training.keras")))

    def test_layers_that_cannot_be_run_are_marked(self):
        text = self.good("inspect", model("unet.keras"))
        self.assertRegex(text, r"pool1 \(MaxPooling2D\).*cannot be run\n")
        self.assertRegex(text, r"up3 \(Conv2DTranspose\).*float32\n")

    def test_every_limit_is_an_argument(self):
        for limit, value, complaint in (("--tensor-bytes", 20_000, "beyond the limits"), ("--json-bytes", 100, "config.json"), ("--nesting", 2, "nest"), ("--layers", 2, "layers"),
                                        ("--hdf5-objects", 3, "objects"), ("--members", 2, "members")):
            with self.subTest(limit=limit):
                self.fails(3, complaint, "inspect", SUPERRES, limit, str(value))
        self.good("inspect", SUPERRES, "--inflate-ratio", "1000", "--decode-seconds", "5")

    def test_bad_files(self):
        self.fails(4, "No such file", "inspect", "missing.keras")
        self.fails(4, "", "inspect", self.folder + "/none/x.keras")
        with open(SUPERRES, "rb") as whole, open(self.path("half.keras"), "wb") as half:
            half.write(whole.read()[:40_000])
        self.fails(3, "half.keras", "inspect", "half.keras")
        self.fails(3, "astronaut_lr.png", "inspect", model("astronaut_lr.png"))


class Run(CliTest):
    def largest_difference(self, path, expected=model("superres_expected.npy")):
        (shape, y), (want_shape, want) = files.read_npy(path), files.read_npy(expected)
        self.assertEqual(shape, want_shape)
        return max(abs(a - b) for a, b in zip(y, want))

    def test_keras_numbers(self):
        for extra in ([], ["--math", "exact"], ["--batch-size", "1"], ["--threads", "1"], ["--isa", "SCALAR"]):
            with self.subTest(extra=extra):
                self.good("run", SUPERRES, model("superres_input.npy"), "y.npy", *extra)
                self.assertLessEqual(self.largest_difference(self.path("y.npy")), 5e-6)

    def test_legacy_file_and_separate_weights(self):
        with zipfile.ZipFile(SUPERRES) as archive, open(self.path("model.json"), "wb") as f:
            f.write(archive.read("config.json"))
        for arguments in ([model("superres.h5")], [self.path("model.json"), "--weights", model("superres.weights.h5")]):
            self.good("run", arguments[0], model("superres_input.npy"), "y.npy", *arguments[1:])
            self.assertLessEqual(self.largest_difference(self.path("y.npy")), 5e-6)
        self.fails(3, "", "run", self.path("model.json"), model("superres_input.npy"), "z.npy")

    def test_batches_do_not_change_a_bit(self):
        shape, values = files.read_npy(model("superres_input.npy"))
        small = [v for i in range(2) for v in values[i * 16384:i * 16384 + 144]]
        files.write_npy(self.path("x.npy"), (2, 12, 12, 1), small)
        self.good("run", SUPERRES, "x.npy", "a.npy")
        self.good("run", SUPERRES, "x.npy", "b.npy", "--batch-size", "1")
        self.assertEqual(self.bytes("a.npy"), self.bytes("b.npy"))

    def test_every_form_of_npy(self):
        values = [i / 16 for i in range(24)]                    # exact in float16
        files.write_npy(self.path("x.npy"), (1, 4, 6, 1), values)
        self.good("run", SUPERRES, "x.npy", "want.npy")
        by_column = [values[6 * r + c] for c in range(6) for r in range(4)]
        for descr, fortran, version in (("<f2", False, 1), (">f4", False, 2), ("<f8", True, 3), (">f8", False, 1), ("<f4", True, 1)):
            with self.subTest(descr=descr, fortran=fortran, version=version):
                files.write_npy(self.path("x.npy"), (1, 4, 6, 1), by_column if fortran else values, descr, fortran, version)
                self.good("run", SUPERRES, "x.npy", "y.npy")
                self.assertEqual(files.read_npy(self.path("y.npy")), files.read_npy(self.path("want.npy")))
        with zipfile.ZipFile(self.path("x.npz"), "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(self.path("x.npy"), "low_resolution.npy")
        self.good("run", SUPERRES, "x.npz", "y.npy")
        self.assertEqual(files.read_npy(self.path("y.npy")), files.read_npy(self.path("want.npy")))

    def test_npz_output(self):
        self.good("run", SUPERRES, model("superres_input.npy"), "y.npz")
        with zipfile.ZipFile(self.path("y.npz")) as archive:
            self.assertEqual(archive.namelist(), ["upsample.npy"])
            archive.extractall(self.folder)
        self.assertLessEqual(self.largest_difference(self.path("upsample.npy")), 5e-6)

    def same_picture(self, path, expected):
        ours, theirs = files.read_png(path), files.read_png(expected)
        self.assertEqual(ours[:4], theirs[:4])
        differences = [abs(a - b) for a, b in zip(ours[4], theirs[4])]
        self.assertLessEqual(max(differences), 1)               # a value on the edge of two steps may go either way
        self.assertLess(sum(differences), 1e-4 * len(differences))

    def test_pictures(self):
        self.good("run", SUPERRES, model("astronaut_lr.png"), "grey.png")
        self.same_picture(self.path("grey.png"), model("astronaut_sr.png"))
        self.good("run", SUPERRES, model("coffee_lr_rgb.png"), "colour.png")
        self.same_picture(self.path("colour.png"), model("coffee_sr_rgb.png"))
        self.good("run", SUPERRES, model("astronaut_lr.png"), "deep.png", "--bits", "16")
        self.assertEqual(files.read_png(self.path("deep.png"))[:4], (256, 256, 1, 16))

    def test_transparency_is_left_out_with_a_note(self):
        width, height, _, _, grey = files.read_png(model("astronaut_lr.png"))
        files.write_png(self.path("alpha.png"), width, height, 2, [v for g in grey for v in (g, 128)])
        done = self.call("run", SUPERRES, "alpha.png", "y.png")
        self.assertEqual(done.returncode, 0)
        self.assertEqual(done.stderr, "upconv: note: alpha.png: transparency is left out\n")
        self.same_picture(self.path("y.png"), model("astronaut_sr.png"))

    def test_range_scales_in_and_out(self):
        width, height, _, _, grey = files.read_png(model("astronaut_lr.png"))
        self.good("run", SUPERRES, model("astronaut_lr.png"), "y.npy", "--range", "-1:1")
        files.write_npy(self.path("x.npy"), (1, height, width, 1), [struct.unpack("f", struct.pack("f", g / 255))[0] * 2 - 1 for g in grey])
        self.good("run", SUPERRES, "x.npy", "want.npy")
        self.assertLessEqual(self.largest_difference(self.path("y.npy"), self.path("want.npy")), 1e-5)

    def test_wrong_files(self):
        x = model("superres_input.npy")
        self.fails(4, "No such file", "run", SUPERRES, "missing.npy", "y.npy")
        self.fails(4, "No such file", "run", SUPERRES, x, "no/such/y.npy")
        self.fails(3, "cannot be run", "run", model("unet.keras"), x, "y.npy")
        self.fails(3, "README.md", "run", SUPERRES, model("README.md"), "y.npy")
        files.write_npy(self.path("whole.npy"), (1, 2, 2, 1), [1, 2, 3, 4], "<i4")
        self.fails(3, 'astype("float32")', "run", SUPERRES, "whole.npy", "y.npy")
        with open(x, "rb") as whole, open(self.path("half.npy"), "wb") as half:
            half.write(whole.read()[:70_000])
        self.fails(3, "half.npy", "run", SUPERRES, "half.npy", "y.npy")
        with open(model("astronaut_lr.png"), "rb") as whole, open(self.path("half.png"), "wb") as half:
            half.write(whole.read()[:5_000])
        self.fails(3, "half.png", "run", SUPERRES, "half.png", "y.npy")

    def test_wrong_arguments(self):
        x = model("superres_input.npy")
        self.fails(2, ".npy or .png", "run", SUPERRES, x, "y.txt")
        self.fails(2, "not one picture", "run", SUPERRES, x, "y.png")
        self.fails(2, "1 inputs and 1 outputs", "run", SUPERRES, x, x, "y.npy")
        self.fails(2, "--range", "run", SUPERRES, x, "y.npy", "--range", "5")
        self.fails(2, "--math", "run", SUPERRES, x, "y.npy", "--math", "quick")
        self.fails(2, "nonsense", "run", SUPERRES, x, "y.npy", "--algorithm", "nonsense")
        files.write_npy(self.path("channels.npy"), (1, 2, 2, 3), [0] * 12)
        self.fails(3, "(1, 2, 2, 3)", "run", SUPERRES, "channels.npy", "y.npy")

    def test_nan_is_a_numeric_error_for_a_picture(self):
        files.write_npy(self.path("x.npy"), (1, 4, 4, 1), [math.nan] * 16)
        self.fails(5, "NaN", "run", SUPERRES, "x.npy", "y.png")
        self.good("run", SUPERRES, "x.npy", "y.npy")

    def test_an_old_file_stays_when_a_run_fails(self):
        with open(self.path("y.npy"), "w") as f:
            f.write("old")
        self.fails(3, "cannot be run", "run", model("unet.keras"), model("superres_input.npy"), "y.npy")
        self.assertEqual(self.bytes("y.npy"), b"old")


class Bench(CliTest):
    HEADER = "name,n,h,w,c,f,kh,kw,sh,sw,padding,activation\n"

    def shapes(self, text):
        with open(self.path("shapes.csv"), "w") as f:
            f.write(text)
        return self.path("shapes.csv")

    def test_table_json_and_picture(self):
        csv = self.shapes(self.HEADER + "small,1,4,4,16,8,2,2,2,2,valid,relu\nodd,2,5,3,8,3,3,5,2,1,same,tanh\n")
        text = self.good("bench", "--shapes", csv, "--rounds", "2", "--threads", "1", "--json", "r.json", "--svg", "r.svg")
        self.assertIn("FMA peak", text)
        run = json.loads(self.bytes("r.json"))
        self.assertGreater(run["peak_gflops"], 0.1)
        self.assertGreater(run["copy_gbs"], 0.1)
        self.assertEqual([r["name"] for r in run["results"]], ["small", "odd"])
        for r in run["results"]:
            self.assertEqual((r["threads"], r["math"]), (1, "fast"))
            self.assertTrue(0 < r["ms_min"] <= r["ms_median"])
            operations = {"small": 2 * 4 * 4 * 16 * 8 * 4, "odd": 2 * 2 * 5 * 3 * 8 * 3 * 15}[r["name"]]
            self.assertAlmostEqual(r["gflops"], operations / r["ms_min"] * 1e-6, delta=1e-6 * r["gflops"])
        ElementTree.parse(self.path("r.svg"))

    def test_algorithms(self):
        self.assertIn("reference\n", self.good("bench", "--algorithms"))
        csv = os.path.join(ROOT, "bench", "shapes.csv")
        self.assertIn("seed_example", self.good("bench", "--algorithms", "--shapes", csv))
        text = self.good("bench", "--only", "page", "--rounds", "1", "--algorithm", "phase_gemm", "--dtype", "float64")
        self.assertRegex(text, r"page_example.*phase_gemm")

    def test_passes(self):
        csv = self.shapes(self.HEADER + "small,1,4,4,16,8,2,2,2,2,valid,relu\n")
        for name, products in (("forward", 1), ("dx", 1), ("dw", 1), ("train", 3)):
            self.good("bench", "--shapes", csv, "--rounds", "1", "--pass", name, "--json", "r.json")
            result = json.loads(self.bytes("r.json"))["results"][0]
            self.assertEqual(result["pass"], name)
            operations = products * 2 * 4 * 4 * 16 * 8 * 4
            self.assertAlmostEqual(result["gflops"], operations / result["ms_min"] * 1e-6, delta=1e-6 * result["gflops"])

    def test_bench_with_cold_caches(self):
        csv = self.shapes(self.HEADER + "stream,1,1,1,512,512,4,4,2,2,same,relu\n")
        self.assertIn("x bound", self.good("bench", "--shapes", csv, "--cold", "--rounds", "1", "--threads", "1", "--json", "r.json"))
        result = json.loads(self.bytes("r.json"))["results"][0]
        # One pixel meets the four middle taps only; reading their weights is what this layer costs.
        self.assertAlmostEqual(result["cold_bound_ms"], 4 * 4 * 512 * 512 / result["cold_read_gbs"] * 1e-6, delta=1e-6)
        self.fails(2, "--cold", "bench", "--only", "page", "--cold", "--pass", "dx")

    def test_bench_sweeps_random_layers(self):
        text = self.good("bench", "--sweep", "3", "--seed", "5", "--rounds", "1", "--threads", "1")
        self.assertIn("3 random layers, seed 5: the planned algorithm is within 5 % of the best for", text)
        self.fails(2, "--sweep", "bench", "--sweep", "3", "--pass", "dx")
        self.fails(2, "--sweep", "bench", "--sweep", "3", "--algorithm", "winograd")

    def test_errors(self):
        self.fails(2, "forward pass", "bench", "--only", "page", "--pass", "dw", "--algorithm", "winograd")
        self.fails(3, "line 1", "bench", "--shapes", self.shapes("name,h\n"))
        self.fails(3, "line 2", "bench", "--shapes", self.shapes(self.HEADER + "a,1,4,4,16,8,2,2,2,2,full,relu\n"))
        self.fails(3, "'0'", "bench", "--shapes", self.shapes(self.HEADER + "a,1,4,4,16,8,0,2,2,2,same,relu\n"))
        self.fails(4, "No such file", "bench", "--shapes", "none.csv")
        self.fails(2, "nonsense", "bench", "--only", "page", "--algorithm", "nonsense")
        self.fails(2, "nobody", "bench", "--only", "nobody")


class Signals(CliTest):
    def test_exit_codes(self):
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            process = subprocess.Popen([UPCONV, "bench", "--rounds", "1000"], stdout=subprocess.DEVNULL, env=environment())
            while not self.caught(process.pid, number):                  # a process that has just begun would die of it
                time.sleep(0.01)
            process.send_signal(number)
            self.assertEqual(process.wait(20), code)

    @staticmethod
    def caught(pid, number):
        with open(f"/proc/{pid}/status") as status:
            masks = [line.split()[1] for line in status if line.startswith("SigCgt:")]
        return bool(masks) and int(masks[0], 16) >> (number - 1) & 1

    def test_a_terminal_sees_progress(self):
        ours, theirs = pty.openpty()
        process = subprocess.Popen([UPCONV, "bench", "--rounds", "1000"], stdout=subprocess.DEVNULL, stderr=theirs, env=environment())
        self.addCleanup(os.close, ours)
        os.close(theirs)
        seen, end = b"", time.time() + 20
        while b"measuring [" not in seen and time.time() < end:
            if select.select([ours], [], [], 1)[0]: seen += os.read(ours, 4096)
        process.terminate()
        process.wait(20)
        self.assertIn(b"measuring [", seen)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
