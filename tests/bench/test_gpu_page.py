# SPDX-License-Identifier: Apache-2.0
"""docs/gpu.md says what bench/results/gpu-*.json say."""

import json
import tempfile
import unittest
from pathlib import Path
from typing import Any

import gpu_page


def step(**fields: Any) -> dict[str, Any]:
    return {"status": "ok", **fields}


def gemm_row(tokens: int, ours: float, library: float, gb_s: float) -> dict[str, Any]:
    def side(tflop_s: float) -> dict[str, Any]:
        return {"kernel": "k", "is_right": True, "median_us": 10.0, "tflop_s": tflop_s, "gb_s": gb_s}

    return {
        "bench": "cuda_gemm",
        "model": "llama-2-70b",
        "weight": "qkv",
        "num_tokens": tokens,
        "operands": "fp8_e4m3",
        "ours": side(ours),
        "library": side(library),
        "ratio": ours / library,
    }


RESULT: dict[str, Any] = {
    "date": "2026-11-26",
    "revision": "abc123",
    "machine": {"gpu": {"name": "NVIDIA H200", "driver_version": "580.1", "power.limit": "700 W"}, "nvcc": "V13.0.88"},
    "parts": {
        "peaks": {
            "steps": {
                "bandwidth": step(rows=[{"bench": "peaks", "copy_gb_per_s": 4000.0, "read_gb_per_s": 4200.0}]),
                "torch": step(rows=[{"name": "torch fp8", "size": 8192, "tflops": 1380.2}]),
            }
        },
        "correctness": {
            "steps": {
                "Norm": step(summary="7 of 7 passed"),
                "Rope": {
                    "status": "failed",
                    "summary": "1 of 2 passed",
                    "failed": [{"test": "Rope.A", "message": "x"}],
                },
            }
        },
        "gemm": {"steps": {"sweep": step(rows=[gemm_row(4096, 1100, 1200, 100), gemm_row(16, 50, 40, 3600)])}},
        "attention": {
            "steps": {
                "decode": step(
                    rows=[
                        {
                            "bench": "decode",
                            "shape": "70b seqs=128 q=1 kv=2048 fp8_e4m3",
                            "median_us": 180.0,
                            "p10_us": 179.0,
                            "p90_us": 182.5,
                            "gb_per_s": 3000.0,
                            "tflops": 40.0,
                            "ratio": 0.75,
                            "is_cold": True,
                        }
                    ]
                )
            }
        },
        "llama70b-fast": {
            "steps": {
                "sweep": step(
                    rows=[
                        {"name": "mlperf mix", "steady_output_tokens_per_second": 3000.0},
                        {"name": "decode 128", "decode_step_ms": 30.5, "decode_tokens_per_second": 4197.0},
                    ]
                )
            }
        },
        "llama70b": {
            "steps": {
                "sweep": step(
                    rows=[
                        {"loaded": "x"},
                        {
                            "name": "decode 1",
                            "decode_step_ms": 20.0,
                            "decode_tokens_per_second": 50.0,
                            "power_w": 512.0,
                            "tokens_per_joule": 0.1,
                            "busy_percent": 98.0,
                        },
                        {
                            "name": "mlperf mix",
                            "steady_output_tokens_per_second": 2500.0,
                            "steady_requests_per_second": 8.5,
                        },
                    ]
                )
            }
        },
    },
}


class GpuPageTest(unittest.TestCase):
    def test_the_committed_page_is_current(self) -> None:
        self.assertEqual(
            gpu_page.PAGE.read_text(),
            gpu_page.page(gpu_page.read_results(gpu_page.RESULTS)),
            "run python3 bench/gpu_page.py",
        )

    def test_targets_are_met_accepted_missed_or_open(self) -> None:
        text = gpu_page.targets(RESULT)
        for line in (
            "| Llama-2-70B FP8, batch 1, tokens/s | 50.0, accepted | – | – | 46.0 | 55.0 |",
            "MLPerf length mix, output tokens/s | 2,500, missed | 3,000, accepted | 83 % | 2,900 | 4,000 |",
            "| 3.00 TB/s, accepted | – | – | 2.80 TB/s | 3.60 TB/s |",
            "| FP8 GEMM, 2048 tokens or more | 1.20 PFLOP/s, accepted |",
            "of a copy's bandwidth | 90 %, goal | – | – | 75 % | 90 % |",
            "| GPT-J 6B FP8, beam 4, offline, samples/s | – | – | – | 25.0 | 40.0 |",
        ):
            self.assertIn(line, text)

    def test_several_figures_give_their_median_and_spread(self) -> None:
        result = RESULT | {
            "parts": {"gemm": {"steps": {"sweep": step(rows=[gemm_row(2048, t, 1, 1) for t in (1000, 1400, 1200)])}}}
        }
        self.assertIn("| 1.20 PFLOP/s (1.00 PFLOP/s–1.40 PFLOP/s), accepted |", gpu_page.targets(result))

    def test_every_kind_of_figure_has_its_row(self) -> None:
        text = gpu_page.page([RESULT])
        for part in (
            "Measured on 2026-11-26 on NVIDIA H200, driver 580.1, power limit 700 W, nvcc V13.0.88, at revision abc123.",
            "| torch fp8 8192³ | 1380 TFLOP/s |",
            "| decode 1 | 50.0 | – | – | – | 20.00 ms | – | 512 W | 0.10 | 2 % |",
            "| mlperf mix | 2,500 | 3,000 | 8.50 | – | – | – | – | – | – |",
            "| decode 128 | – | 4,197 | – | – | – | 30.50 ms | – | – | – |",
            "| decode 70b seqs=128 q=1 kv=2048 fp8_e4m3 | 180 (179–182) | 3000 | 40 | 75 % |",
            "| Rope | 1 of 2 passed | Rope.A |",
            "| llama-2-70b qkv | 16 | 10.0 µs, 50 TFLOP/s, 3600 GB/s |",
        ):
            self.assertIn(part, text)

    def test_what_another_revision_gave_is_named(self) -> None:
        runs = [{"name": "decode 1", "revision": "older"}, {"name": "mlperf mix", "revision": "abc123"}]
        parts = {
            "gptj": {"steps": {"sweep": step(revision="abc123", rows=runs)}},
            "rows": {"steps": {"sample": step(revision="older", rows=[{"case": 1}])}},
        }
        text = gpu_page.machine(RESULT | {"parts": parts})
        self.assertIn("at revision abc123.\n\nOf these, at revision older: gptj (decode 1); rows.\n", text)

    def test_the_newest_result_of_each_gpu_counts(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            for name, date, gpu in (("a", "2026-11-28", "A"), ("b", "2026-11-27", "A"), ("c", "2026-11-20", "B")):
                result = RESULT | {"date": date, "machine": {"gpu": {"name": gpu}}}
                (Path(directory) / f"gpu-{name}.json").write_text(json.dumps(result))
            found = gpu_page.read_results(Path(directory))
        self.assertEqual(
            [(r["machine"]["gpu"]["name"], r["date"]) for r in found], [("A", "2026-11-28"), ("B", "2026-11-20")]
        )

    def test_without_results_the_targets_stand_alone(self) -> None:
        text = gpu_page.page([])
        self.assertIn("No result is there yet", text)
        self.assertIn("| Llama-3.1-8B FP8, 128 in, 128 out, output tokens/s | – | – | – | 20,000 | 28,000 |", text)


if __name__ == "__main__":
    unittest.main()
