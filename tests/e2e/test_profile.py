# SPDX-License-Identifier: Apache-2.0
"""`veloz profile`: every op of a model against the machine's limits."""

import unittest
import xml.etree.ElementTree

from veloz_cli import MODELS, CliTest

LLAMA = MODELS / "tiny-llama"
QUICK = ["--repeats", "1", "--batch-sizes", "1,3", "--prefill", "32", "--context", "20"]


class ProfileTest(CliTest):
    def test_tables_and_plot(self) -> None:
        plot = self.dir / "roofline.svg"
        text = self.succeed("profile", LLAMA, *QUICK, "--plot", plot).out
        for part in (
            "machine: ",
            "GB/s dram_read",
            "prefill, 32 tokens: ",
            "decode, 1 sequence at context 20: ",
            "decode, 3 sequences at context 20: ",
            "between steps",
            "lost ms/token",
            "paged_attention",
        ):
            self.assertIn(part, text)
        root = xml.etree.ElementTree.parse(plot).getroot()
        self.assertTrue(root.tag.endswith("svg"))
        self.assertGreater(len(root.findall("{*}circle")), 6)

    def test_json_adds_up(self) -> None:
        report = self.succeed("profile", LLAMA, *QUICK, "--json", "--per-step").json()
        self.assertEqual(set(report), {"engine", "backend", "repeats", "peaks", "phases"})
        self.assertEqual([phase["phase"] for phase in report["phases"]], ["prefill", "decode", "decode"])
        for phase in report["phases"]:
            for key in "bytes", "flops":
                self.assertAlmostEqual(sum(group[key] for group in phase["groups"]), phase[key], delta=1)
            self.assertAlmostEqual(sum(group["ms"] for group in phase["groups"]), phase["ops_ms"], delta=0.01)
            losses = [group["lost_ms_per_token"] for group in phase["groups"]]
            self.assertEqual(losses, sorted(losses, reverse=True))
            self.assertEqual(phase["between_steps"] is None, phase["phase"] == "prefill")
        # The weights are read once, however many sequences decode.
        linears = [
            sum(group["bytes"] for group in phase["groups"] if group["op"] == "linear")
            for phase in report["phases"][1:]
        ]
        self.assertLess(linears[1], 1.1 * linears[0])

    def test_steps_have_names_and_kernels(self) -> None:
        engine = self.build(LLAMA)
        report = self.succeed("profile", engine, *QUICK, "--json", "--per-step").json()
        steps = self.succeed("inspect", engine, "--json").json()["kernels"]
        for phase in report["phases"]:
            self.assertEqual(sorted(group["kernel"] for group in phase["groups"]), sorted(steps))
        by_name = self.succeed("profile", engine, *QUICK, "--json", "--per-name").json()
        names = {group["name"] for group in by_name["phases"][0]["groups"]}
        self.assertIn("layers.*.attn.qkv", names)

    def test_what_the_engine_cannot_do_is_refused(self) -> None:
        self.fail_with(2, ["--max-num-seqs 65"], "profile", LLAMA, "--batch-sizes", "65")
        self.fail_with(2, ["--batch-sizes"], "profile", LLAMA, "--batch-sizes", "0")
        self.fail_with(2, ["excludes"], "profile", LLAMA, "--per-name", "--per-step")


if __name__ == "__main__":
    unittest.main()
