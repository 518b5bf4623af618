# SPDX-License-Identifier: Apache-2.0
"""docs/performance.md says what bench/results/ says."""

import json
import tempfile
import unittest
from pathlib import Path
from typing import Any

import performance_page

LOW_PRECISION: dict[str, Any] = {
    "bench": "cpu_low_precision",
    "weights": "8-bit",
    "kv_cache": "bf16",
    "load": "decode 4, context 256",
    "rounds": 9,
    "veloz": {"median": 131.44, "p10": 130.1, "p90": 133.9},
    "peers": {"llama.cpp Q8_0": {"median": 60.2, "p10": 59, "p90": 61}},
    "best_peer": "llama.cpp Q8_0",
    "ratio": 2.183,
    "ratio_p10": 2.05,
    "ratio_p90": 2.314,
    "limit_ratio": 2.72,
    "ratio_goal": 2.2,
    "limit": "dram_read",
    "share": 0.81,
    "share_goal": 0.8,
    "share_of_bf16": None,
    "share_of_bf16_goal": None,
    "is_met": False,
    "peaks": {"dram_read_gb_per_s": 48.2},
    "date": "2026-11-27",
    "machine": "some CPU",
    "threads": 2,
    "versions": {"veloz": "veloz 0.1.0"},
    "command": "bench/cpu_peer.py build/peer",
}


class PerformancePageTest(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.results = Path(directory.name)

    def write(self, name: str, *lines: dict[str, Any]) -> None:
        (self.results / name).write_text("".join(json.dumps(line) + "\n" for line in lines))

    def page(self) -> str:
        return performance_page.page(performance_page.read_results(self.results))

    def test_the_committed_page_is_current(self) -> None:
        results = performance_page.read_results(performance_page.RESULTS)
        self.assertEqual(
            performance_page.PAGE.read_text(),
            performance_page.page(results),
            "run python3 bench/performance_page.py",
        )

    def test_long_contexts_and_other_widths_have_their_own_sections(self) -> None:
        serving = {"load": "16 streams", "veloz": 150.0, "peer": 49.0, "ratio": 3.06, "target": 3.0, "is_met": True}
        self.write("2026-11-27-cpu-long-context-1b.jsonl", LOW_PRECISION | {"kv_cache": "fp8"})
        self.write("2026-11-27-cpu-serving-1b-8-bit.jsonl", serving | {"rounds": 3, "weights": "8-bit"})
        page = self.page()
        self.assertIn("## Decoding behind a long context\n", page)
        self.assertIn("| 8-bit, fp8 cache |", page)
        self.assertIn("## Serving, beside llama.cpp's server, 8-bit\n", page)
        self.assertIn("--weights 8-bit`", page)

    def test_a_row_shows_ratio_share_and_what_was_missed(self) -> None:
        self.write("2026-11-27-cpu-low-precision-1b.jsonl", LOW_PRECISION)
        self.assertIn(
            "| 8-bit | decode 4, context 256 | 131 (130–134) | 60.2 (59.0–61.0) llama.cpp Q8_0 "
            "| 2.18 (2.05–2.31; goal 2.20, missed; 2.72 at the limit) | 81 % (goal 80 %) of dram_read |",
            self.page(),
        )
        self.assertIn("the median of ratios of runs that lay next to each other", self.page())
        self.assertIn("Measured on 2026-11-27 on some CPU with 2 threads (veloz 0.1.0)", self.page())

    def test_a_ratio_that_meets_its_goal_or_has_none_is_shown_with_its_spread(self) -> None:
        self.write(
            "2026-11-27-cpu-low-precision-1b.jsonl",
            LOW_PRECISION | {"ratio_goal": 2.0},
            LOW_PRECISION | {"ratio_goal": None},
        )
        self.assertIn("| 2.18 (2.05–2.31; goal 2.00) |", self.page())
        self.assertIn("| 2.18 (2.05–2.31) |", self.page())

    def test_rows_of_unpaired_runs_have_a_ratio_alone(self) -> None:
        paired = {"ratio_p10", "ratio_p90", "limit_ratio"}
        old = {key: value for key, value in LOW_PRECISION.items() if key not in paired}
        self.write("2026-11-27-cpu-low-precision-1b.jsonl", old)
        self.assertIn("| 2.18 (goal 2.20, missed) |", self.page())
        self.assertIn("The ratio is that of the two medians", self.page())
        self.assertNotIn("at the limit", self.page())

    def test_a_share_just_below_its_goal_shows_a_decimal(self) -> None:
        self.write("2026-11-27-cpu-low-precision-1b.jsonl", LOW_PRECISION | {"share": 0.7974})
        self.assertIn("79.7 % (goal 80 %, missed) of dram_read", self.page())

    def test_a_step_is_shown_with_what_it_loses_where(self) -> None:
        def group(op: str, steps: int, ms: float, roof_ms: float) -> dict[str, Any]:
            return {"op": op, "steps": steps, "ms": ms, "roof_ms": roof_ms}

        groups = [
            group("quantized_linear", 88, 11.0, 10.0),
            group("linear", 1, 1.25, 1.2),
            group("paged_attention", 22, 0.35, 0.1),
            group("rms_norm", 45, 0.09, 0.02),
            group("quantize", 22, 0.01, 0.005),
        ]
        decode = {"phase": "decode", "batch_size": 1, "roof_ms": 11.325, "percent_of_roof": 87.1, "groups": groups}
        self.write(
            "2026-11-27-cpu-step-profile-1b.jsonl",
            *(
                {
                    "engine": "engines/4-bit",
                    "peaks": {"dram_read_gb_per_s": 53.8},
                    "phases": [decode | {"step_ms": step_ms, "host_ms": 0.1}, {"phase": "prefill"}],
                }
                for step_ms in (13, 12, 14)
            ),
        )
        self.assertIn("| 4-bit | 1 | 13.00 | 11.32 (87 %) | 1.05 | 0.25 | 0.07 in 67 ops | 0.10 | 53.8 |", self.page())

    def test_rows_without_a_peer_or_a_goal_say_so(self) -> None:
        alone = LOW_PRECISION | {"best_peer": None, "peers": {}, "ratio": None, "share_goal": None, "kv_cache": "fp8"}
        self.write("2026-11-27-cpu-low-precision-1b.jsonl", alone)
        self.assertIn(
            "| 8-bit, fp8 cache | decode 4, context 256 | 131 (130–134) | – | – | 81 % of dram_read |", self.page()
        )

    def test_recipes_are_shown_with_their_verdict_and_what_was_measured(self) -> None:
        line = {
            "model": "tiny-gptj",
            "recipe": "int4-awq --group-size 32",
            "verdict": "PASS-99",
            "bytes_ratio": 0.3125,
            "num_items": 200,
            "checks": [
                {"name": "rouge1", "value": 0.5, "reference": 0.504},
                {"name": "tokens_per_item", "value": 20.2, "reference": 20.0},
            ],
            "perplexity": 1.02,
            "reference_perplexity": 1.0,
            "mean_kl": 0.00123,
            "top1": 0.998,
            "worst_output_error": 0.051,
        }
        self.write("2026-11-28-quantize-recipes.jsonl", line)
        self.assertIn("on the 200 questions", self.page())
        self.assertIn(
            "| tiny-gptj | `int4-awq --group-size 32` | **PASS-99** | 31 % | ROUGE-1 50.0 of 50.4 | 1.010 | 1.0200 "
            "| 0.00123 | 99.80 % | 5.1 % |",
            self.page(),
        )

    def test_the_newest_file_of_a_topic_counts(self) -> None:
        self.write("2026-11-28-cpu-low-precision-1b.jsonl", LOW_PRECISION | {"weights": "newer"})
        self.write("2026-11-27-cpu-low-precision-1b.jsonl", LOW_PRECISION | {"weights": "older"})
        self.assertIn("newer", self.page())
        self.assertNotIn("older", self.page())

    def test_results_without_a_section_are_linked(self) -> None:
        self.write("2026-11-27-something-new.jsonl", LOW_PRECISION)
        self.assertIn(
            "- [2026-11-27-something-new.jsonl](../bench/results/2026-11-27-something-new.jsonl)", self.page()
        )


if __name__ == "__main__":
    unittest.main()
