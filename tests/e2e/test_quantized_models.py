# SPDX-License-Identifier: Apache-2.0
"""Quantized checkpoints of others build and generate as they are."""

import json
import unittest
from pathlib import Path
from typing import Any

from quantized_checkpoint import FORMATS, write_quantized
from veloz_cli import CliTest

GREEDY = ["--num-beams", "1", "--temperature", "0", "--ignore-eos", "--max-tokens", "24", "--json"]


class QuantizedModelTest(CliTest):
    def tokens(self, engine: Path, *flags: str) -> list[int]:
        answer = self.succeed("run", engine, "abcdef", *GREEDY, *flags).json()
        self.assertEqual(len(answer["token_ids"]), 24)
        token_ids: list[int] = answer["token_ids"]
        return token_ids

    def test_every_format_builds_and_generates(self) -> None:
        for name, format in FORMATS.items():
            with self.subTest(format=name):
                model, _ = write_quantized(self.dir / name, format)
                engine = self.build(model, f"{name}-bf16")
                self.assertEqual(self.tokens(engine), self.tokens(engine, "--threads", "1"))

    def test_weights_alone_give_what_dequantized_ones_give(self) -> None:
        # In fp32 both compute the same products and sums.
        for name, format in FORMATS.items():
            if not format.is_weight_only:
                continue
            with self.subTest(format=name):
                quantized, dense = write_quantized(self.dir / name, format)
                engines = [self.build(m, f"{name}-{m.name}", "--dtype", "fp32") for m in (quantized, dense)]
                self.assertEqual(self.tokens(engines[0]), self.tokens(engines[1]))

    def test_modelopts_own_file_is_enough_and_part_of_the_cache_key(self) -> None:
        model, _ = write_quantized(self.dir / "modelopt", FORMATS["modelopt-fp8"])
        config = json.loads((model / "config.json").read_text())
        del config["quantization_config"]
        (model / "config.json").write_text(json.dumps(config))
        own: dict[str, Any] = {"quantization": {"quant_algo": "FP8", "exclude_modules": ["lm_head"]}}
        (model / "hf_quant_config.json").write_text(json.dumps(own))
        self.tokens(model)
        own["quantization"]["exclude_modules"].append("*q_proj")
        (model / "hf_quant_config.json").write_text(json.dumps(own))
        self.fail_with(2, ["q_proj.weight", '"*q_proj" leaves the module out'], "run", model, "abc", *GREEDY)

    def test_a_quantized_model_takes_less_room(self) -> None:
        quantized, dense = write_quantized(self.dir / "awq", FORMATS["awq"])
        sizes = [
            self.succeed("build", model, "-o", self.dir / model.name, "--json").json()["weight_bytes"]
            for model in (quantized, dense)
        ]
        self.assertLess(sizes[0], 0.6 * sizes[1])


if __name__ == "__main__":
    unittest.main()
