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

    def test_activations_of_integer_weights_can_be_quantized_too(self) -> None:
        model, _ = write_quantized(self.dir / "awq", FORMATS["awq"])
        (model / "veloz_gate.json").write_text('{"verdict": "PASS-99"}')
        engines = [self.build(model, f"awq-{n}", *flags) for n, flags in (
            ("as-it-is", ()), ("int8", ("--quant-activations", "int8")))]  # fmt: skip
        ops = [self.succeed("inspect", engine, "--graph").out for engine in engines]
        self.assertIn("weight_only_linear", ops[0])
        self.assertNotIn("weight_only_linear", ops[1])
        self.assertIn("quantized_linear", ops[1])
        facts = [self.succeed("inspect", engine, "--json").json()["manifest"] for engine in engines]
        self.assertEqual([of["verdict"] for of in facts], ["PASS-99", "UNGATED"])
        (model / "veloz_gate.json").write_text('{"verdict": "FAIL"}')
        failed = self.build(model, "awq-failed", "--quant-activations", "int8")
        self.assertEqual(self.succeed("inspect", failed, "--json").json()["manifest"]["verdict"], "FAIL")
        self.assertIn("int8 activations", facts[1]["quantization"]["name"])
        self.assertEqual(self.tokens(engines[1]), self.tokens(engines[1], "--threads", "1"))

    def test_activations_are_refused_where_no_integer_weights_wait_for_them(self) -> None:
        flags = ["--quant-activations", "int8", "--max-tokens", "1"]
        quantized, dense = write_quantized(self.dir / "fp8", FORMATS["modelopt-fp8"])
        self.fail_with(2, ["--quant-activations int8", "no linear"], "run", quantized, "abc", *flags)
        self.fail_with(2, ["is for quantized checkpoints", "--quant int4"], "run", dense, "abc", *flags)
        self.fail_with(2, ['--quant-activations "int4" is not known', "auto or int8"], "run", dense, "abc",
                       "--quant-activations", "int4")  # fmt: skip

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

    def test_autogptqs_own_file_is_enough_and_part_of_the_cache_key(self) -> None:
        model, _ = write_quantized(self.dir / "gptq", FORMATS["gptq"])
        tokens = self.tokens(model)
        config = json.loads((model / "config.json").read_text())
        own = config.pop("quantization_config")
        del own["quant_method"]
        (model / "config.json").write_text(json.dumps(config))
        (model / "quantize_config.json").write_text(json.dumps(own))
        self.assertEqual(self.tokens(model), tokens)
        (model / "quantize_config.json").write_text(json.dumps(own | {"bits": 3}))
        self.fail_with(2, ["quantize_config.json", '"bits" is 3'], "run", model, "abc", *GREEDY)

    def test_a_quantized_model_takes_less_room(self) -> None:
        quantized, dense = write_quantized(self.dir / "awq", FORMATS["awq"])
        sizes = [
            self.succeed("build", model, "-o", self.dir / model.name, "--json").json()["weight_bytes"]
            for model in (quantized, dense)
        ]
        self.assertLess(sizes[0], 0.6 * sizes[1])


if __name__ == "__main__":
    unittest.main()
