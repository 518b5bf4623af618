# SPDX-License-Identifier: Apache-2.0
"""`veloz quantize` as people use it: its result is a model like any other, with a report and a verdict."""

import json
import shutil
import time
import unittest
from pathlib import Path
from typing import Any

from veloz_cli import MODELS, CliTest

LLAMA = MODELS / "tiny-llama"
GPTJ = MODELS / "tiny-gptj"


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
        self.assertFalse((self.dir / "out").exists() or (self.dir / "out.unfinished").exists())

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

    def test_auto_finds_the_smallest_mixture_that_keeps_the_gate(self) -> None:
        report = self.quantize("auto", "--group-size", "32")
        self.assertIn(report["verdict"], ["PASS-99", "PASS-99.9"])
        self.assertGreater(len(report["tries"]), 0)
        kept = [tried for tried in report["tries"] if tried["verdict"] in ("PASS-99", "PASS-99.9")]
        self.assertEqual(report["stored_bytes"], min(tried["stored_bytes"] for tried in kept))
        self.assertLess(report["stored_bytes"], report["original_bytes"])
        self.assertEqual(json.loads((self.dir / "out" / "veloz_gate.json").read_text())["verdict"], report["verdict"])

    def test_a_run_killed_while_it_is_measured_goes_on(self) -> None:
        command = ["quantize", LLAMA, "-o", self.dir / "out", "--recipe", "int8", "--num-samples", "16"]
        unfinished = self.dir / "out.unfinished"
        process = self.start(*command)
        while not (unfinished / "original.engine").exists() and process.poll() is None:
            time.sleep(0.001)
        process.kill()
        process.communicate()
        self.assertTrue((unfinished / "candidate").exists() and not (self.dir / "out").exists())
        self.assertEqual(self.succeed(*command, "--limit", "8", "--json").json()["verdict"], "PASS-99.9")
        self.assertFalse(unfinished.exists())

    def test_errors_say_what_to_do(self) -> None:
        self.refuse(['no recipe "int3"', "int4-awq"], "--recipe", "int3")
        self.refuse(["--recipe is required"])
        self.refuse(["--group-size 96 does not divide the 256 columns"], "--recipe", "int4-awq", "--group-size", "96")
        self.refuse(["--group-size 20", "multiple of 32"], "--recipe", "int4-awq", "--group-size", "20")
        self.refuse(["at least 512 are needed"], "--recipe", "int8", "--num-samples", "1")
        self.refuse(["has nothing to judge"], "--recipe", "auto", "--no-gate")
        self.refuse(['--format cannot be "gguf"', "modelopt"], "--recipe", "int8", "--format", "gguf")
        self.refuse(["matches no linear"], "--recipe", "int8", "--keep", "*.wrong")
        self.refuse(["nowhere.jsonl", "does not exist"], "--recipe", "int8", "--dataset", self.dir / "nowhere.jsonl")
        (self.dir / "eval.jsonl").write_text('{"question": "?"}\n')
        self.refuse(["line 1", '"prompt"'], "--recipe", "int8", "--dataset", self.dir / "eval.jsonl")
        self.refuse(["fp8 does not read --group-size", "int4-awq"], "--recipe", "fp8", "--group-size", "32")
        self.refuse(["int4 does not read --gate", "for auto"], "--recipe", "int4", "--gate", "99")
        self.refuse(["a limit of 0 items"], "--recipe", "int8", "--limit", "0")
        self.refuse(["ModelOpt", "compressed-tensors"], "--recipe", "int4-gptq", "--format", "modelopt")
        (self.dir / "there").mkdir()
        (self.dir / "there" / "config.json").write_text("{}")
        self.fail_with(2, ["holds a model already", "--force"], "quantize", LLAMA, "-o", self.dir / "there",
                       "--recipe", "int8")  # fmt: skip


class RecipeFlagsTest(CliTest):
    """Each flag changes what it says it changes, nothing else being different."""

    def report(self, recipe: str, *flags: str | Path, model: Path = LLAMA) -> Any:
        command = ["quantize", model, "-o", self.dir / "out", "--recipe", recipe, "--no-gate", "--force", "--json"]
        return self.succeed(*command, "--num-samples", "16", *flags).json()

    def error(self, recipe: str, *flags: str | Path) -> float:
        return sum(linear["output_error"] for linear in self.report(recipe, *flags)["linears"])

    def test_ranges(self) -> None:
        self.assertLess(self.error("int4", "--weight-range", "mse"), 0.95 * self.error("int4"))
        largest = self.error("fp8")
        cut = self.error("fp8", "--activation-range", "percentile", "--percentile", "90")
        self.assertGreater(cut, 1.5 * largest, "a tenth of the activations saturates")
        self.assertNotEqual(self.error("fp8", "--activation-range", "mse"), largest)

    def test_gptq(self) -> None:
        default = self.error("int4-gptq")
        self.assertLess(default, self.error("int4"))
        self.assertGreater(self.error("int4-gptq", "--gptq-damping", "1"), default)
        self.assertNotEqual(self.error("int4-gptq", "--no-act-order"), default)

    def test_calibration_data(self) -> None:
        text = self.dir / "text.txt"
        text.write_text("Tomas lives in Berlin and plays the violin.\n\n" * 200)
        whole = self.report("int8-smoothquant")["calibration"]
        self.assertEqual(whole["texts"], 16)
        short = self.report("int8-smoothquant", "--max-length", "40")["calibration"]
        self.assertEqual((short["texts"], short["tokens"]), (16, 16 * 40))
        own = self.report("int8-smoothquant", "--calibration", text)["calibration"]
        self.assertNotEqual(own, whole)

    def test_lm_head_is_left_out_unless_it_is_asked_for(self) -> None:
        modules = [
            {linear["module"] for linear in self.report("int8", *flags, model=GPTJ)["linears"]}
            for flags in ([], ["--lm-head"])
        ]
        self.assertEqual(modules[1] - modules[0], {"lm_head"})

    def test_what_an_interrupted_run_left_is_for_the_same_command(self) -> None:
        unfinished = self.dir / "out.unfinished"
        for _ in range(5):  # one may end before it is killed
            process = self.start("quantize", LLAMA, "-o", self.dir / "out", "--recipe", "int4-awq")
            while not (unfinished / "job.txt").exists() and process.poll() is None:
                time.sleep(0.001)
            process.kill()
            process.communicate()
            if not (self.dir / "out").exists():
                break
            shutil.rmtree(self.dir / "out")
        self.assertTrue(unfinished.exists() and not (self.dir / "out").exists(), "it was killed at work")
        other = ["quantize", LLAMA, "-o", self.dir / "out", "--recipe", "int8", "--no-gate"]
        self.fail_with(2, ["out.unfinished", "--restart"], *other)
        self.succeed(*other, "--restart")
        self.assertTrue((self.dir / "out" / "config.json").exists())
        self.assertFalse(unfinished.exists())


if __name__ == "__main__":
    unittest.main()
