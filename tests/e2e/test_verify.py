# SPDX-License-Identifier: Apache-2.0
"""`veloz verify`: every op against its reference."""

import unittest

from veloz_cli import MODELS, CliTest


class VerifyTest(CliTest):
    def test_a_model_is_within_tolerance(self) -> None:
        flags = ["--prompt-tokens", "3", "--new-tokens", "2"]
        report = self.succeed("verify", MODELS / "tiny-llama", "--json", *flags).json()
        self.assertEqual(set(report), {"engine", "is_within", "prompt", "reference_tokens", "devices"})
        self.assertTrue(report["is_within"])
        self.assertEqual(len(report["prompt"]), 3)
        device = report["devices"][0]
        self.assertEqual(device["num_outside"], 0)
        self.assertEqual(len(device["tokens"]), 2)
        self.assertEqual({output["phase"] for output in device["outputs"]}, {"prefill", "decode"})
        text = self.succeed("verify", MODELS / "tiny-llama", *flags).out
        for part in ("of tolerance", "outputs are within tolerance", "greedy generation"):
            self.assertIn(part, text)
        self.assertIn("%logits", self.succeed("verify", MODELS / "tiny-llama", "--per-step", *flags).out)

    def test_a_device_that_is_not_there_is_refused_before_anything_is_built(self) -> None:
        doctor = self.succeed("doctor", "--quick", "--json").json()
        if doctor["devices"] != ["cpu"]:
            return
        for verb in (["run"], ["verify"], ["bench", "latency"], ["profile"]):
            result = self.veloz(*verb, MODELS / "tiny-llama", "--device", "cuda")
            self.assertEqual(result.code, 2)
            self.assertIn(doctor["why_no_gpu"], result.err)
            self.assertIn("--device cpu", result.err)

    def test_what_a_gpu_may_do_changes_nothing_on_the_cpu(self) -> None:
        flags = ("The team", "--device", "cpu", "--max-tokens", "8", "--temperature", "0")
        usual = self.succeed("run", MODELS / "tiny-llama", *flags).out
        self.assertEqual(self.succeed("run", MODELS / "tiny-llama", *flags, "--allow-nondeterminism").out, usual)
        env = {"VELOZ_ALLOW_NONDETERMINISM": "true", "VELOZ_CUBLASLT": "/nowhere"}
        self.assertEqual(self.succeed("run", MODELS / "tiny-llama", *flags, env=env).out, usual)
        for verb in (["run"], ["chat"], ["serve"], ["eval"], ["profile"], ["verify"], ["plan"]):
            self.assertIn("--allow-nondeterminism", self.succeed(*verb, "--help").out)
        for bench in ("latency", "throughput", "sweep"):
            self.assertIn("--allow-nondeterminism", self.succeed("bench", bench, "--help").out)


if __name__ == "__main__":
    unittest.main()
