# SPDX-License-Identifier: Apache-2.0
"""Engines whose linears are quantized while they are built, and the verdict an engine carries."""

import json
import unittest
from pathlib import Path

from tiny_checkpoint import TinyCheckpoint
from veloz_cli import MODELS
from veloz_server import ServeTest

GREEDY = ["--temperature", "0", "--max-tokens", "8"]


class QuantizedTest(ServeTest):
    def manifest(self, engine: Path) -> dict[str, object]:
        manifest = self.succeed("inspect", engine, "--json").json()["manifest"]
        assert isinstance(manifest, dict)
        return manifest

    def test_build_says_what_is_quantized_and_that_nobody_evaluated_it(self) -> None:
        engine = self.build(MODELS / "tiny-llama", "engine", "--quant", "int8", "--quant-lm-head", "fp8-a16")
        manifest = self.manifest(engine)
        self.assertEqual(manifest["verdict"], "UNGATED")
        self.assertEqual(
            manifest["quantization"],
            {
                "name": "int8, lm_head fp8-a16",
                "linears": [
                    {"scheme": "fp8_e4m3 weights per channel (fp32 scales)", "count": 1},
                    {
                        "scheme": "int8 weights per channel (fp32 scales), int8 activations per token",
                        "count": 28,
                    },
                ],
            },
        )
        text = self.succeed("inspect", engine).out
        self.assertRegex(text, r"(?m)^quantized +int8, lm_head fp8-a16; 1 linears: .*; 28 linears: ")
        self.assertRegex(text, r"(?m)^verdict +UNGATED$")

    def test_inspect_shows_the_pass_at_work(self) -> None:
        engine = self.build(MODELS / "tiny-llama", "engine", "--quant", "int4")
        text = self.succeed("inspect", engine, "--passes").out
        self.assertIn("== quantize: 28 rewrites", text)
        self.assertIn("+ %layers.0.mlp.down = quantized_linear(", text)
        self.assertIn('%logits left alone: the plan has no "lm_head"', text)

    def test_patterns_choose_per_layer(self) -> None:
        flags = ("--quant", "int4", "--quant-layer", "*.mlp.down_proj=int8", "--quant-layer", "*.layers.0.*=none")
        engine = self.build(MODELS / "tiny-llama", "engine", *flags)
        weights = {
            line.split()[0]: line.split()[1] for line in self.succeed("inspect", engine, "--weights").out.splitlines()
        }
        self.assertTrue(weights["@layers.0.attn.qkv"].startswith("bf16"))
        self.assertTrue(weights["@layers.0.mlp.down"].startswith("int8"))
        self.assertTrue(weights["@layers.1.attn.qkv"].startswith("uint4x2"))

    def test_a_linear_that_does_not_fit_is_left_with_a_warning(self) -> None:
        model = TinyCheckpoint().write(self.dir / "model")
        result = self.succeed("build", model, "-o", self.dir / "engine", "--quant", "int4")
        self.assertRegex(result.err, r"warning: \d+ linears are not quantized, \"model.layers.0.* is one")

    def test_run_builds_and_caches_each_quantization(self) -> None:
        outputs = []
        for flags in ([], ["--quant", "int8"], ["--quant", "int8"]):
            outputs.append(self.succeed("run", MODELS / "tiny-gptj", "Once upon", *GREEDY, *flags))
        self.assertIn("built ", outputs[1].err)
        self.assertNotIn("built ", outputs[2].err)
        self.assertEqual(outputs[1].out, outputs[2].out)

    def test_unknown_schemes_and_patterns_are_refused(self) -> None:
        model, output = MODELS / "tiny-llama", self.dir / "engine"
        self.fail_with(2, ['--quant "int3" is not known', "int4-g128"], "build", model, "-o", output, "--quant", "int3")
        self.fail_with(
            2, ["is no PATTERN=SCHEME"], "build", model, "-o", output, "--quant", "int8", "--quant-layer", "down"
        )
        self.fail_with(
            2, ["matches no linear"], "build", model, "-o", output, "--quant", "int8", "--quant-layer", "x.*=none"
        )

    def judged_model(self, verdict: str) -> Path:
        model = TinyCheckpoint().write(self.dir / "judged")
        (model / "veloz_gate.json").write_text(json.dumps({"verdict": verdict}))
        return model

    def test_an_engine_carries_the_verdict_of_its_checkpoint(self) -> None:
        engine = self.build(self.judged_model("PASS-99"))
        self.assertEqual(self.manifest(engine)["verdict"], "PASS-99")
        self.assertEqual(json.loads((engine / "gate.json").read_text()), {"verdict": "PASS-99"})
        self.fail_with(
            2, ['"verdict" is "GOOD"', "veloz_gate.json"], "build", self.judged_model("GOOD"), "-o", self.dir / "other"
        )

    def test_what_a_build_quantizes_beyond_its_checkpoint_mends_no_verdict(self) -> None:
        for verdict, changed in (("PASS-99", "UNGATED"), ("FAIL", "FAIL")):
            for i, flags in enumerate((("--kv-cache-dtype", "int8"), ("--quant", "int8"))):
                engine = self.build(self.judged_model(verdict), f"{verdict}-{i}", *flags)
                self.assertEqual(self.manifest(engine)["verdict"], changed, flags)

    def test_a_failed_model_is_served_only_by_force(self) -> None:
        engine = self.build(self.judged_model("FAIL"))
        self.fail_with(2, ["is FAIL", "--force"], "serve", engine, "--port", "0")
        server = self.serve(engine, "--force")
        model = json.loads(server.request("GET", "/v1/models")[2])["data"][0]
        self.assertEqual((model["quantization"], model["verdict"]), (None, "FAIL"))

    def test_the_server_says_how_its_model_is_quantized(self) -> None:
        server = self.serve(MODELS / "tiny-gptj", "--quant", "int8-a16")
        model = json.loads(server.request("GET", "/v1/models")[2])["data"][0]
        self.assertEqual((model["quantization"], model["verdict"], model["dtype"]), ("int8-a16", "UNGATED", "bf16"))


if __name__ == "__main__":
    unittest.main()
