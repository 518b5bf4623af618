# SPDX-License-Identifier: Apache-2.0
"""`veloz quantize` as people use it: its result is a model like any other, with a report and a verdict."""

import json
import unittest
from pathlib import Path
from typing import Any

from veloz_cli import MODELS, CliTest

LLAMA = MODELS / "tiny-llama"


class QuantizeTest(CliTest):
    def quantize(self, recipe: str, *flags: str) -> Any:
        return self.succeed(
            "quantize",
            LLAMA,
            "-o",
            self.dir / "out",
            "--recipe",
            recipe,
            "--num-samples",
            "16",
            "--limit",
            "8",
            "--json",
            *flags,
        ).json()

    def refuse(self, parts: list[str], *flags: str | Path) -> None:
        self.fail_with(2, parts, "quantize", LLAMA, "-o", self.dir / "out", *flags)
        self.assertFalse((self.dir / "out").exists())

    def test_the_result_is_built_and_answers(self) -> None:
        report = self.quantize("int8-smoothquant")
        self.assertEqual(report["verdict"], "PASS-99.9")
        self.assertEqual(len(report["linears"]), 28)
        self.assertLess(report["stored_bytes"], 0.52 * report["original_bytes"])
        out = self.dir / "out"
        self.assertEqual(json.loads((out / "veloz_gate.json").read_text())["verdict"], "PASS-99.9")
        self.assertEqual(json.loads((out / "report.json").read_text()), report)
        self.assertIn("**PASS-99.9**", (out / "report.md").read_text())
        self.assertFalse((self.dir / "out.unfinished").exists())
        prompt = (LLAMA / "demo_prompt.txt").read_text()
        original = self.succeed("chat", LLAMA, "--prompt", prompt, "--temperature", "0").out
        self.assertEqual(self.succeed("chat", out, "--prompt", prompt, "--temperature", "0").out, original)

    def test_nobody_measured_it(self) -> None:
        report = self.quantize("fp8", "--no-gate")
        self.assertEqual((report["verdict"], report["gate"]), ("UNGATED", None))

    def test_errors_say_what_to_do(self) -> None:
        self.refuse(['no recipe "int3"', "int4-awq"], "--recipe", "int3")
        self.refuse(["--recipe is required"])
        self.refuse(["--group-size 96 does not divide the 256 columns"], "--recipe", "int4-awq", "--group-size", "96")
        self.refuse(["--group-size 20", "multiple of 32"], "--recipe", "int4-awq", "--group-size", "20")
        self.refuse(["at least 512 are needed"], "--recipe", "int8", "--num-samples", "1")
        self.refuse(["has nothing to judge"], "--recipe", "auto", "--no-gate")
        self.refuse(['--format cannot be "gguf"', "modelopt"], "--recipe", "int8", "--format", "gguf")
        self.refuse(["matches no linear"], "--recipe", "int8", "--keep", "*.wrong")
        (self.dir / "there").mkdir()
        self.fail_with(2, ["exists", "--force"], "quantize", LLAMA, "-o", self.dir / "there", "--recipe", "int8")


if __name__ == "__main__":
    unittest.main()
