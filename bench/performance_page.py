#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes docs/performance.md from the newest results of each kind in bench/results/.

    python3 bench/performance_page.py

is run after new results are there; with --check it writes nothing and fails where the page is not what they say.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench/results"
PAGE = ROOT / "docs/performance.md"

Line = dict[str, Any]

HEAD = """# Performance

After this page you know how fast this program was measured to be, beside what, and how to measure it again.

Every figure is a median of one run that alternates what is compared; limits of the machine are measured in that same run.
The page is written by `bench/performance_page.py` from the newest files of `bench/results/`; do not edit it by hand.
`veloz profile ENGINE` shows where the time of your own machine goes, `veloz plan` what to expect of it.
"""


@dataclass(frozen=True)
class ResultFile:
    path: Path
    lines: list[Line]

    @property
    def date(self) -> str:
        match = re.match(r"\d{4}-\d{2}-\d{2}", self.path.name)
        if match is None:
            raise SystemExit(f"{self.path}: the name does not begin with a date")
        return match[0]

    @property
    def topic(self) -> str:
        return self.path.stem.removeprefix(self.date + "-")


def read_results(directory: Path) -> dict[str, ResultFile]:
    """The newest file of each topic: 2026-11-25-cpu-engine-1b.jsonl is of "cpu-engine-1b"."""
    newest: dict[str, ResultFile] = {}
    for path in sorted(directory.glob("*.jsonl")):
        lines = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
        found = ResultFile(path, lines)
        if lines:
            newest[found.topic] = found  # in the order of their dates
    return newest


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cells) + " |\n"

    return line(head) + "|" + "---|" * len(head) + "\n" + "".join(line(row) for row in rows)


def facts(result: ResultFile, command: str) -> str:
    first = result.lines[0]
    where = first.get("machine")
    parts = [f"Measured on {result.date}"]
    if where:
        parts.append(f"on {where}")
    if "threads" in first:
        parts.append(f"with {first['threads']} threads")
    versions = ", ".join(str(version) for version in first.get("versions", {}).values())
    text = " ".join(parts) + (f" ({versions})" if versions else "")
    return f"{text} by\n`{command}`\n([figures](../bench/results/{result.path.name})).\n"


def number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}"


def with_spread(figures: Line) -> str:
    return f"{number(figures['median'])} ({number(figures['p10'])}–{number(figures['p90'])})"


def against_goal(value: float | None, goal: float | None, show: Callable[[float], str]) -> str:
    if value is None:
        return "–"
    if goal is None:
        return show(value)
    return f"{show(value)} (goal {show(goal)}{'' if value >= goal else ', missed'})"


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def percent_beside(goal: float) -> Callable[[float], str]:
    """Shows a decimal where none would hide on which side of the goal a share is."""
    return lambda share: f"{100 * share:.1f} %" if share < goal and percent(share) == percent(goal) else percent(share)


def ratio_cell(line: Line) -> str:
    """The ratio to the best peer; where it misses its goal, also what it were at 100 % of the machine's limit.

    Rows of runs that were not paired have neither a spread of the ratio nor a `limit_ratio`.
    """
    ratio, goal = line["ratio"], line["ratio_goal"]
    if ratio is None:
        return "–"
    notes = []
    if "ratio_p10" in line:
        notes.append(f"{line['ratio_p10']:.2f}–{line['ratio_p90']:.2f}")
    if goal is not None:
        notes.append(f"goal {goal:.2f}{'' if ratio >= goal else ', missed'}")
        if ratio < goal and line.get("limit_ratio") is not None:
            notes.append(f"{line['limit_ratio']:.2f} at the limit")
    return f"{ratio:.2f}" + (f" ({'; '.join(notes)})" if notes else "")


def ratio_note(result: ResultFile) -> str:
    """How the ratios were taken: newer runs are paired."""
    if "ratio_p10" not in result.lines[0]:
        return "The ratio is that of the two medians, to the best peer of the same width."
    return (
        "The ratio is to the best peer of the same width: the median of ratios of runs that lay next to each other, and\n"
        "their 10th to 90th percentile. It need not be that of the two medians, because the machine changes between rounds.\n"
        'Where it misses its goal, "at the limit" is the ratio of a program that reaches all of what the machine was measured\n'
        "to give: a goal above that is out of reach beside this peer."
    )


def rounds(result: ResultFile) -> str:
    counts = sorted({line["rounds"] for line in result.lines})
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def beside_peers(result: ResultFile, title: str, lead: str) -> str:
    def row(line: Line) -> list[str]:
        best = line["best_peer"]
        peer = f"{with_spread(line['peers'][best])} {best}" if best else "–"
        share = (
            against_goal(line["share"], line["share_goal"], percent_beside(line["share_goal"] or 0))
            + f" of {line['limit']}"
        )
        if line.get("share_of_bf16") is not None:
            share += f"; {against_goal(line['share_of_bf16'], line['share_of_bf16_goal'], percent)} of our BF16"
        return [
            line["weights"] + ("" if line["kv_cache"] == "bf16" else f", {line['kv_cache']} cache"),
            line["load"],
            with_spread(line["veloz"]),
            peer,
            ratio_cell(line),
            share,
        ]

    builds = dict.fromkeys(f"`{line['build']}`" for line in result.lines if line.get("build"))
    engines = f"Engines: {', '.join(builds)}; what is not named there is bf16, lm_head too. " if builds else ""
    peaks = ", ".join(f"{name} {value:g}" for name, value in result.lines[0]["peaks"].items())
    return (
        f"## {title}\n\n{lead}\n{ratio_note(result)}\n\n"
        + table(["weights", "load", "veloz", "best peer", "ratio", "share of the limit"], map(row, result.lines))
        + f"\n{engines}{rounds(result)} alternated rounds. Limits of the machine, medians of our processes: {peaks}. "
        + facts(result, "` and\n`".join(dict.fromkeys(line["command"] for line in result.lines)))
    )


def low_precision(result: ResultFile) -> str:
    return beside_peers(
        result,
        "Precisions beside their peers",
        "A Llama shape of 1.1 billion random weights; tokens per second over all sequences, median and 10th to 90th percentile.",
    )


def low_precision_intel(result: ResultFile) -> str:
    return beside_peers(
        result,
        "Precisions beside their peers, on an Intel processor",
        "The same shape where vdpbf16ps does half of what fp32 does: BF16 and FP8 are multiplied as fp32, and judged by that.",
    )


def long_context(result: ResultFile) -> str:
    return beside_peers(
        result,
        "Decoding behind a long context",
        "The same shape with its cache in three formats, beside the better of a peer's two (16 bits, q8_0).",
    )


def step_losses(result: ResultFile) -> str:
    """Of several `veloz profile`: milliseconds of a decode step beyond those that the machine's limits ask for."""

    def kind_of(group: Line) -> str:
        if "linear" in group["op"]:
            return "linears"
        return "attention" if group["op"] == "paged_attention" else "others"

    def lost(phase: Line, kind: str) -> float:
        return float(sum(group["ms"] - group["roof_ms"] for group in phase["groups"] if kind_of(group) == kind))

    runs: dict[tuple[str, int], list[Line]] = {}  # of an engine and a batch size: phases, each with its run's peaks
    for line in result.lines:
        for phase in line["phases"]:
            if phase["phase"] == "decode":
                key = (Path(line["engine"]).name, phase["batch_size"])
                runs.setdefault(key, []).append(phase | {"peaks": line["peaks"]})

    def row(weights: str, batch_size: int) -> list[str]:
        phases = runs[weights, batch_size]

        def middle(value: Callable[[Line], float]) -> str:
            return f"{median(map(value, phases)):.2f}"

        num_others = sum(group["steps"] for group in phases[0]["groups"] if kind_of(group) == "others")
        return [
            weights,
            str(batch_size),
            middle(lambda phase: phase["step_ms"]),
            f"{middle(lambda phase: phase['roof_ms'])} ({median(phase['percent_of_roof'] for phase in phases):.0f} %)",
            middle(lambda phase: lost(phase, "linears")),
            middle(lambda phase: lost(phase, "attention")),
            f"{middle(lambda phase: lost(phase, 'others'))} in {num_others} ops",
            middle(lambda phase: phase["host_ms"]),
            number(median(phase["peaks"]["dram_read_gb_per_s"] for phase in phases)),
        ]

    head = ["weights", "sequences", "step", "at the limits", "linears", "attention", "other ops", "between ops", "GB/s"]
    return (
        "## What keeps a decode step from its limits\n\n"
        "Milliseconds: the step, what its bytes and operations take at the machine's limits, and what each kind of op takes\n"
        "beyond that. Medians of several runs; the last column is what memory gave in them.\n\n"
        + table(head, [row(*key) for key in runs])
        + "\n"
        + facts(result, "veloz profile ENGINE --threads 2 --prefill 0 --batch-sizes 1,4,16 --repeats 15 --json")
    )


def engine_limits(result: ResultFile) -> str:
    def row(line: Line) -> list[str]:
        return [
            f"{line['bench']} {line['shape']}",
            number(line["tokens_per_s"]),
            f"{line['median_us'] / 1e3:.1f} ({line['p10_us'] / 1e3:.1f}–{line['p90_us'] / 1e3:.1f})",
            f"{percent(line['ratio'])} of {line['against'].replace('_', ' ')}",
        ]

    return (
        "## An engine beside the machine's limits\n\n"
        "A BF16 Llama shape of 1.1 billion random weights, through the public API.\n\n"
        + table(["work", "tokens/s", "ms (10th–90th percentile)", "reached"], map(row, result.lines))
        + "\n"
        + facts(result, "build/release/bench/veloz_bench_engine --json")
    )


def serving(result: ResultFile) -> str:
    def row(line: Line) -> list[str]:
        sign = "at most" if line["target"] < 1 else "at least"
        return [
            line["load"],
            number(line["veloz"]),
            number(line["peer"]),
            f"{line['ratio']:.2f} (goal {sign} {line['target']:g}{'' if line['is_met'] else ', missed'})",
        ]

    first = result.lines[0]
    weights = first.get("weights", "bf16")
    command = "python3 bench/serving_peer.py DIR --peer LLAMA_SERVER" + (
        "" if weights == "bf16" else f" --weights {weights}"
    )
    return (
        f"## Serving, beside llama.cpp's server{'' if weights == 'bf16' else f', {weights}'}\n\n"
        f"The same loads on both servers, in turn; medians of {first['rounds']} round(s). The same shape, {weights} weights.\n\n"
        + table(["load", "veloz", "llama.cpp", "ratio"], map(row, result.lines))
        + "\n"
        + facts(result, command)
    )


def server_cost(result: ResultFile) -> str:
    def row(line: Line) -> list[str]:
        cost, target = line["server_us_per_token"], line["target"]
        missed = "" if cost <= target else ", missed"
        least = ""
        if "handover_us_per_token" in line:
            least = (
                f"; handing over alone {number(line['handover_us_per_token'])}"
                f", the system call that sends alone {number(line['send_us_per_token'])}"
            )
        return [
            f"{number(line['weights'] / 1e6)} M",
            str(line["streams"]),
            f"{number(cost)} (goal {target}{missed}{least})",
            number(line["output_tokens_per_s"]),
        ]

    return (
        "## What the server itself costs\n\n"
        "CPU time, per streamed token, of all that does not compute steps. A lone stream pays for the waking of a thread "
        "and the sending of every token by itself, which many share.\n\n"
        + table(["weights", "streams", "µs per token", "tokens/s"], map(row, result.lines))
        + "\n"
        + facts(result, "python3 bench/server_cost.py SMALL_ENGINE LARGE_ENGINE")
    )


def quantize_recipes(result: ResultFile) -> str:
    names = {"rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rouge_l": "ROUGE-L", "exact": "exact"}

    def row(line: Line) -> list[str]:
        checks = {check["name"]: check for check in line["checks"]}
        scores = [
            f"{name} {100 * checks[key]['value']:.1f} of {100 * checks[key]['reference']:.1f}"
            for key, name in names.items()
            if key in checks
        ]
        length = checks["tokens_per_item"]
        return [
            line["model"],
            f"`{line['recipe']}`",
            f"**{line['verdict']}**",
            percent(line["bytes_ratio"]),
            ", ".join(scores),
            f"{length['value'] / length['reference']:.3f}",
            f"{line['perplexity'] / line['reference_perplexity']:.4f}",
            f"{line['mean_kl']:.5f}",
            f"{100 * line['top1']:.2f} %",
            f"{100 * line['worst_output_error']:.1f} %",
        ]

    head = [
        "model",
        "`--recipe`",
        "verdict",
        "size of its linears",
        "answers (percent)",
        "their length",
        "perplexity",
        "KL",
        "same token likeliest",
        "worst error of outputs",
    ]
    return (
        "## What quantization costs\n\n"
        f"The bundled models, each on the {result.lines[0]['num_items']} questions of its evaluation set; length and perplexity "
        "are shares of the original's, KL is in nats per position, the error that of the linear that suffers most. "
        "[Quantization](quantization.md) explains the columns.\n\n"
        + table(head, map(row, result.lines))
        + "\n"
        + facts(result, "python3 bench/quantize_recipes.py")
    )


def others(results: Sequence[ResultFile]) -> str:
    links = "".join(f"- [{result.path.name}](../bench/results/{result.path.name})\n" for result in results)
    return "## Further figures\n\n" + links


# In the order of the page; a topic without results has no section.
SECTIONS: dict[str, Callable[[ResultFile], str]] = {
    "cpu-low-precision-1b": low_precision,
    "cpu-low-precision-1b-intel": low_precision_intel,
    "cpu-step-profile-1b": step_losses,
    "cpu-long-context-1b": long_context,
    "cpu-engine-1b": engine_limits,
    "cpu-serving-1b": serving,
    "cpu-serving-1b-8-bit": serving,
    "cpu-server-cost": server_cost,
    "quantize-recipes": quantize_recipes,
}


def page(results: dict[str, ResultFile]) -> str:
    sections = [section(results[topic]) for topic, section in SECTIONS.items() if topic in results]
    unknown = [result for topic, result in sorted(results.items()) if topic not in SECTIONS]
    return "\n".join([HEAD, *sections, *([others(unknown)] if unknown else [])])


def main() -> int:
    parser = argparse.ArgumentParser(description="Write docs/performance.md from the committed results.")
    parser.add_argument("--check", action="store_true", help="write nothing, fail where the page differs")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, default=PAGE)
    arguments = parser.parse_args()
    text = page(read_results(arguments.results))
    if not arguments.check:
        arguments.page.write_text(text)
        print(f"wrote {arguments.page}")
        return 0
    if not arguments.page.exists() or arguments.page.read_text() != text:
        print(f"{arguments.page} is not what the results say: run python3 bench/performance_page.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
