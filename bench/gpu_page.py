#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes docs/gpu.md from the newest result of bench/gpu_suite per GPU in bench/results/gpu-*.json.

    python3 bench/gpu_page.py

is run after new results are there; with --check it writes nothing and fails where the page is not what they say.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from performance_page import number, percent, table

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench/results"
PAGE = ROOT / "docs/gpu.md"

Json = dict[str, Any]

HEAD = """# On a GPU

After this page you know how fast the CUDA back end was measured to be, against what, and how to measure it again.

The page is written by `bench/gpu_page.py` from the newest result per GPU in `bench/results/gpu-*.json`; do not edit it by
hand. Weights are random, lengths are drawn with the means that MLPerf publishes: none of this is an official result. The
clocks were as the machine had them.

"Fast" is with `--allow-nondeterminism`: large linears go to cuBLASLt's fastest algorithms, so that a request's tokens can
depend on its neighbours. All else gives the same results in every batch: of linears by our kernels, or by those of cuBLASLt's
algorithms that have our kernels' bits ("served", below).

The mixes and 128/2048 are streams: a window in which requests begin as others end.
"""

HOW = """## Measuring it again

```
cmake --preset cuda && cmake --build --preset cuda
bench/gpu_bundle
build/gpu-bundle/gpu_suite --output bench/results/gpu-DATE-CARD.json
python3 bench/gpu_page.py
```

`bench/gpu_bundle` makes a directory that runs on a bare machine with CUDA 13; `gpu_suite` can be stopped and called again, and
goes on where it stopped.
"""

NOTHING = "No result is there yet: the targets below are what the first one is held against.\n"


def steps(result: Json, part: str) -> Json:
    found: Json = result["parts"].get(part, {}).get("steps", {})
    return found


def rows(result: Json, part: str, step: str) -> list[Json]:
    found: list[Json] = steps(result, part).get(step, {}).get("rows", [])
    return found


def fast_class(result: Json) -> Json:
    """What was measured with --allow-nondeterminism, under the models' own names."""
    parts = {name.removesuffix("-fast"): part for name, part in result["parts"].items() if name.endswith("-fast")}
    return result | {"parts": parts}


def run_figure(part: str, run: str, key: str) -> Callable[[Json], list[float]]:
    """A figure of one run of a model."""
    return lambda result: [row[key] for row in rows(result, part, "sweep") if row.get("name") == run and row.get(key)]


def bandwidth(result: Json) -> float | None:
    """Of a copy, bytes per second; the best that was measured."""
    peaks = [row["copy_gb_per_s"] for part in ("peaks", "attention", "rows") for step in steps(result, part).values() for row in step.get("rows", []) if "copy_gb_per_s" in row]  # fmt: skip
    return max(peaks) * 1e9 if peaks else None


def gemm_rows(result: Json) -> list[Json]:
    found = rows(result, "gemm", "sweep") or rows(result, "peaks", "gemm")
    return [row for row in found if row.get("bench") == "cuda_gemm"]


def best_tflops(row: Json) -> float:
    return max(float(row.get(side, {}).get("tflop_s", 0)) for side in ("ours", "library"))


def large_gemm(result: Json) -> list[float]:
    fp8 = (row for row in gemm_rows(result) if row["operands"] == "fp8_e4m3" and row["num_tokens"] >= 2048)
    return [value / 1e3 for value in map(best_tflops, fp8) if value]


def skinny_gemm(result: Json) -> list[float]:
    limit = bandwidth(result)
    fp8 = [row for row in gemm_rows(result) if row["operands"] == "fp8_e4m3" and row["num_tokens"] <= 64]
    found = [max(float(row.get(side, {}).get("gb_s", 0)) for side in ("ours", "library")) for row in fp8]
    return [value * 1e9 / limit for value in found if value] if limit else []


def decode_attention(result: Json) -> list[float]:
    wanted = "70b seqs=128 q=1 kv=2048 fp8_e4m3"
    found = rows(result, "attention", "decode")
    return [row["gb_per_s"] / 1e3 for row in found if row.get("shape") == wanted and "gb_per_s" in row]


@dataclass(frozen=True)
class Target:
    what: str
    accept: float
    goal: float
    anchor: str
    figures: Callable[[Json], list[float]]  # the median counts
    show: Callable[[float], str]


def terabytes(value: float) -> str:
    return f"{value:.2f} TB/s"


def petaflops(value: float) -> str:
    return f"{value:.2f} PFLOP/s"


def rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


TARGETS = (
    Target(
        "Llama-2-70B FP8 offline, MLPerf length mix, output tokens/s",
        2900,
        4000,
        "3,467 per H200 (NVIDIA, MLPerf v4.0), 3,913 (v4.1); ceiling about 4,400–4,700",
        run_figure("llama70b", "mlperf mix", "steady_output_tokens_per_second"),
        rate,
    ),
    Target(
        "Llama-2-70B FP8, batch 1, tokens/s",
        46,
        55,
        "51.1 (TensorRT-LLM, a 70B of larger vocabulary); floor of the bytes 62",
        run_figure("llama70b", "decode 1", "decode_tokens_per_second"),
        rate,
    ),
    Target(
        "Llama-2-70B FP8, 128 in, 2048 out, output tokens/s",
        3000,
        4336,
        "2,941 with XQA, 1,227 without; 4,336 (TensorRT-LLM v1.0, Llama-3.3-70B)",
        run_figure("llama70b", "offline 128/2048", "steady_output_tokens_per_second"),
        rate,
    ),
    Target(
        "decode attention, batch 128, KV 2048, 64/8 heads, FP8",
        2.8,
        3.6,
        "3.67 TB/s, the best known",
        decode_attention,
        terabytes,
    ),
    Target("FP8 GEMM, 2048 tokens or more", 1.15, 1.35, "cuBLASLt about 1.38 PFLOP/s", large_gemm, petaflops),
    Target("skinny FP8 GEMM, up to 64 tokens, of a copy's bandwidth", 0.75, 0.9, "–", skinny_gemm, percent),
    Target(
        "GPT-J 6B FP8, beam 4, offline, samples/s",
        25,
        40,
        "36.4 per H200 (NVIDIA, MLPerf v4.1)",
        run_figure("gptj", "mlperf mix, beam 4", "steady_requests_per_second"),
        rate,
    ),
    Target(
        "Llama-3.1-8B FP8, 128 in, 128 out, output tokens/s",
        20000,
        28000,
        "27,911 (TensorRT-LLM v1.0)",
        run_figure("llama8b", "offline 128/128", "steady_output_tokens_per_second"),
        rate,
    ),
)


def measured(target: Target, result: Json | None) -> str:
    figures = target.figures(result) if result else []
    if not figures:
        return "–"
    middle = statistics.median(figures)
    verdict = "goal" if middle >= target.goal else "accepted" if middle >= target.accept else "missed"
    spread = f" ({target.show(min(figures))}–{target.show(max(figures))})" if len(figures) > 1 else ""
    return f"{target.show(middle)}{spread}, {verdict}"


def share(target: Target, result: Json | None, fast: Json | None) -> str:
    """What is reached without --allow-nondeterminism of what is reached with it."""
    usual, best = (target.figures(of) if of else [] for of in (result, fast))
    return percent(statistics.median(usual) / statistics.median(best)) if usual and best else "–"


def targets(result: Json | None) -> str:
    fast = fast_class(result) if result else None
    lines = [
        [t.what, measured(t, result), measured(t, fast), share(t, result, fast), t.show(t.accept), t.show(t.goal)]
        + [t.anchor]
        for t in TARGETS
    ]
    head = ["on one H200", "measured", "fast", "of fast", "accept", "goal", "anchor"]
    return "## Targets\n\n" + table(head, lines)


def of_other_revisions(result: Json) -> str:
    """What an earlier call measured with another revision, where a later one went on in the same file."""
    found: dict[str, list[str]] = {}
    for name, part in result["parts"].items():
        of: dict[str, list[str]] = {}
        for step, outcome in part["steps"].items():
            runs = [row for row in outcome.get("rows", []) if "name" in row and "revision" in row]
            for what, measured in [(row["name"], row) for row in runs] or [(step, outcome)]:
                of.setdefault(measured.get("revision", result["revision"]), []).append(what)
        for revision, whats in of.items():
            if revision != result["revision"]:
                found.setdefault(revision, []).append(name if len(of) == 1 else f"{name} ({', '.join(whats)})")
    return "".join(f"\n\nOf these, at revision {revision}: {'; '.join(parts)}." for revision, parts in found.items())


def machine(result: Json) -> str:
    gpu = result["machine"].get("gpu", {})
    parts = [f"{gpu.get('name', 'a GPU')}", f"driver {gpu['driver_version']}" if "driver_version" in gpu else ""]
    parts += [f"power limit {gpu['power.limit']}" if "power.limit" in gpu else ""]
    parts += [f"nvcc {result['machine']['nvcc']}" if result["machine"].get("nvcc") else ""]
    where = ", ".join(part for part in parts if part)
    return f"Measured on {result['date']} on {where}, at revision {result['revision']}.{of_other_revisions(result)}\n"


def peaks(result: Json) -> str:
    lines = []
    for row in rows(result, "peaks", "bandwidth"):
        if row.get("bench") == "peaks":
            lines += [["copy, read and written", f"{row['copy_gb_per_s']:.0f} GB/s"]]
            lines += [["read", f"{row['read_gb_per_s']:.0f} GB/s"]]
    for row in rows(result, "peaks", "gemm"):
        if row.get("bench") == "cuda_gemm_peak" and "TFLOP" in row["unit"]:
            lines += [[row["peak"], f"{row['value']:.0f} {row['unit']}"]]
    lines += [
        [f"{row['name']} {row['size']}³", f"{row['tflops']:.0f} TFLOP/s"] for row in rows(result, "peaks", "torch")
    ]
    return section("What the card does", ["limit", "measured"], lines)


def section(title: str, head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return f"## {title}\n\n{table(head, lines)}" if lines else ""


def correctness(result: Json) -> str:
    lines = [
        [name, step.get("summary", step["status"]), "; ".join(item["test"] for item in step.get("failed", [])) or "–"]
        for name, step in sorted(steps(result, "correctness").items())
    ]
    lines += [
        [
            name,
            step.get("summary", step.get("error", step["status"])),
            "–" if step["status"] == "ok" else step["status"],
        ]
        for name, step in steps(result, "tiny").items()
    ]
    return section("What was proved", ["suite or model", "outcome", "failed"], lines)


def gemm(result: Json) -> str:
    def side(row: Json, name: str) -> str:
        found = row.get(name, {})
        if "median_us" not in found:
            return str(found.get("failure", "–"))[:60]
        wrong = "" if found.get("is_right", True) else ", WRONG"
        return f"{number(found['median_us'])} µs, {found['tflop_s']:.0f} TFLOP/s, {found['gb_s']:.0f} GB/s{wrong}"

    def served(row: Json) -> str:
        found = row.get("served")
        return f"{number(found['median_us'])} µs, {found['by']}" if found else "–"

    lines = [
        [f"{row['model']} {row['weight']}", str(row["num_tokens"]), side(row, "ours"), side(row, "library")]
        + [f"{row['ratio']:.2f}" if "ratio" in row else "–", served(row)]
        for row in gemm_rows(result)
    ]
    return section("Linears", ["weight", "tokens", "ours", "cuBLASLt, fast", "its time over ours", "served"], lines)


def kernel_lines(found: Iterable[Json]) -> Iterator[list[str]]:
    for row in found:
        if "median_us" not in row:
            continue
        spread = f"{number(row['median_us'])} ({number(row['p10_us'])}–{number(row['p90_us'])})"
        tflops = f"{row['tflops']:.0f}" if row["tflops"] >= 10 else "–"
        share = percent(row["ratio"]) + ("" if row.get("is_cold", True) else ", in the L2 cache")
        wrong = f" ({row['error']})" if "error" in row else ""
        yield [f"{row['bench']} {row['shape']}{wrong}", spread, number(row["gb_per_s"]), tflops, share]


def kernels(result: Json) -> str:
    head = ["kernel and shape", "µs (10th–90th percentile)", "GB/s", "TFLOP/s", "of a copy's bandwidth"]
    found = ((title, part, step) for title, part, step in (
        ("Attention, decode", "attention", "decode"),
        ("Attention, prefill", "attention", "prefill"),
        ("Sampling", "rows", "sample"),
        ("Norms, activations, positions, cache", "rows", "rows"),
    ))  # fmt: skip
    return "\n".join(
        text
        for title, part, step in found
        if (text := section(title, head, list(kernel_lines(rows(result, part, step)))))
    )


def models(result: Json) -> str:
    names = {"llama70b": "Llama-2-70B FP8", "llama8b": "Llama-3.1-8B FP8", "gptj": "GPT-J 6B FP8"}

    def named(found: Json, part: str) -> dict[str, Json]:
        return {row["name"]: row for row in rows(found, part, "sweep") if "name" in row}

    def speed(row: Json) -> str:
        value = row.get("decode_tokens_per_second", row.get("steady_output_tokens_per_second"))
        return rate(value) if value else row.get("error", "–")

    def samples(row: Json) -> str:
        value = row.get("steady_requests_per_second")
        return f"{value:.2f}" if value else "–"

    def step_ms(row: Json) -> str:
        return f"{row['decode_step_ms']:.2f} ms" if "decode_step_ms" in row else "–"

    def line(name: str, row: Json, fast: Json) -> list[str]:
        return [
            name,
            *(show(of) for show in (speed, samples, step_ms) for of in (row, fast)),
            f"{row['power_w']:.0f} W" if "power_w" in row else "–",
            f"{row['tokens_per_joule']:.2f}" if "tokens_per_joule" in row else "–",
            f"{100 - row['busy_percent']:.0f} %" if "busy_percent" in row else "–",
        ]

    def lines(part: str) -> list[list[str]]:
        usual, fast = named(result, part), named(fast_class(result), part)
        return [line(name, usual.get(name, {}), fast.get(name, {})) for name in {**usual, **fast}]

    figures = [text for head in ("output tokens/s", "requests/s", "decode step") for text in (head, "fast")]
    head = ["run", *figures, "power", "tokens per joule", "idle"]
    return "\n".join(text for part, name in names.items() if (text := section(name, head, lines(part))))


def of_result(result: Json) -> str:
    parts = (machine(result), targets(result), models(result), peaks(result), gemm(result), kernels(result))
    return "\n".join(part for part in (*parts, correctness(result)) if part)


def read_results(directory: Path) -> list[Json]:
    """The newest of each GPU."""
    newest: dict[str, Json] = {}
    for path in sorted(directory.glob("gpu-*.json")):
        result = json.loads(path.read_text())
        name = result["machine"].get("gpu", {}).get("name", "")
        if name not in newest or result["date"] >= newest[name]["date"]:
            newest[name] = result
    return list(newest.values())


def page(results: Sequence[Json]) -> str:
    body = [of_result(result) for result in results] or [NOTHING, targets(None)]
    return "\n".join([HEAD, *body, HOW])


def main() -> int:
    parser = argparse.ArgumentParser(description="Write docs/gpu.md from the committed results.")
    parser.add_argument("--check", action="store_true", help="write nothing, fail where the page differs")
    arguments = parser.parse_args()
    text = page(read_results(RESULTS))
    if not arguments.check:
        PAGE.write_text(text)
        print(f"wrote {PAGE}")
        return 0
    if not PAGE.exists() or PAGE.read_text() != text:
        print(f"{PAGE} is not what the results say: run python3 bench/gpu_page.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
