# SPDX-License-Identifier: Apache-2.0
"""What bench/peers says of a run: engines with wrong numbers do not count, ratios are those of the times, the page's block is replaced whole."""
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(sys.argv.pop(1)) / "bench" / "peers"))
import report  # noqa: E402


def results():
    def layer(name, **ms):
        return {"name": name, "engines": {e: {"min_ms": t} if t > 0 else {"min_ms": -t, "error": "wrong by 3"} for e, t in ms.items()}}
    return {"threads": 1, "pass": "forward", "versions": {"upconv": "upconv 1", "slow": "slow 2", "fast": "fast 3"},
            "layers": [layer("one", upconv=1.0, fast=2.0, slow=8.0), layer("two", upconv=2.0, fast=1.0, slow=4.0), layer("three", upconv=1.0, fast=-0.1, slow=2.0)]}


class Report(unittest.TestCase):
    def test_the_best_peer_is_the_fastest_right_one(self):
        self.assertEqual([report.best_peer(r["engines"]) for r in results()["layers"]], [("fast", 2.0), ("fast", 1.0), ("slow", 2.0)])
        self.assertEqual([report.ratio(r["engines"]) for r in results()["layers"]], [2.0, 0.5, 2.0])

    def test_the_summary_names_what_is_under_one(self):
        text = report.summary(results())
        self.assertIn("1.26 x the best peer of each of 3 layers", text)
        self.assertIn("fast 1.00 (on 2), slow 3.17", text)
        self.assertIn("Under 1.0: two 0.50.", text)

    def test_the_page_is_replaced_between_its_marks_only(self):
        with tempfile.TemporaryDirectory() as folder:
            docs = Path(folder)
            (docs / "img").mkdir()
            page = docs / "performance.md"
            page.write_text("before\n<!-- peers_forward_1 -->\nold\n<!-- end of peers_forward_1 -->\nafter\n")
            for _ in range(2):
                report.write_docs(results(), docs)
            text = page.read_text()
            self.assertTrue(text.startswith("before\n") and text.endswith("after\n"))
            self.assertNotIn("old", text)
            self.assertEqual(text.count("| two | 2.000 | **0.50** | 2.00 |"), 1)
            self.assertIn("| three | 1.000 | wrong | **2.00** |", text)
            self.assertEqual((docs / "img" / "peers_forward_1.svg").read_text().count("<text"), 7)
            page.write_text("no place")
            with self.assertRaises(SystemExit):
                report.write_docs(results(), docs)


if __name__ == "__main__":
    unittest.main()
