# SPDX-License-Identifier: Apache-2.0
"""What each recipe makes of the bundled models, held against the originals. `scripts/test-full verdicts` asks all
questions: VELOZ_VERDICT_ITEMS of them."""

import os
import unittest
from pathlib import Path

from veloz_cli import CliTest, bundled_models

ITEMS = os.environ.get("VELOZ_VERDICT_ITEMS", "40")
# One answer in forty that differs would already be more than 0.1 %.
EXACTING_ITEMS = os.environ.get("VELOZ_VERDICT_ITEMS", "120")
EIGHT_BITS = ["fp8", "fp8-rowwise", "int8", "int8-smoothquant"]
FOUR_BITS = ["int4-awq", "int4-gptq"]
INT8_ACTIVATIONS = ["--activations", "int8"]  # as measured for speed


class VerdictTest(CliTest):
    def test_there_are_models_of_both_architectures(self) -> None:
        self.assertEqual([model.name for model in bundled_models()], ["tiny-gptj", "tiny-llama"])

    def verdict(self, model: Path, recipe: str, *flags: str, items: str = ITEMS) -> str:
        out = self.dir / f"{model.name}-{recipe}{''.join(flags)}"
        verdict: str = self.succeed(
            "quantize", model, "-o", out, "--recipe", recipe, "--limit", items, "--json", *flags
        ).json()["verdict"]
        return verdict

    def test_eight_bits_lose_nothing(self) -> None:
        for model in bundled_models():
            for recipe in EIGHT_BITS:
                with self.subTest(model=model.name, recipe=recipe):
                    self.assertEqual(self.verdict(model, recipe, items=EXACTING_ITEMS), "PASS-99.9")

    def test_searched_four_bits_pass(self) -> None:
        for model in bundled_models():
            with self.subTest(model.name):
                verdicts = [
                    self.verdict(model, recipe, "--group-size", "32", *INT8_ACTIVATIONS) for recipe in FOUR_BITS
                ]
                self.assertTrue(set(verdicts) & {"PASS-99", "PASS-99.9"}, verdicts)

    def test_careless_four_bits_fail(self) -> None:
        for model in bundled_models():
            for flags in ([], INT8_ACTIVATIONS):
                with self.subTest(model.name, flags=flags):
                    self.assertEqual(self.verdict(model, "int4-tensor", *flags), "FAIL")


if __name__ == "__main__":
    unittest.main()
