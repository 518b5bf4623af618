#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prefill and decode in every precision, side by side with llama.cpp and its relatives, in one alternated run.

    python3 bench/peers/make_dummy_model.py build/peer --context 8192 --types BF16,Q8_0,Q4_0
    python3 bench/cpu_peer.py build/peer --peer llama.cpp=/path/to/llama-bench,/path/to/llama-batched-bench
    python3 bench/cpu_peer.py build/peer --peer ik=LLAMA_BENCH,LLAMA_BATCHED_BENCH,BF16_R16+Q8_0_R8+IQ4_K --context long

Each round runs every engine of ours and every peer once, one process at a time with the same number of threads;
figures are medians over the rounds with their 10th and 90th percentile. Ours come from `veloz profile`, whose run
measures the machine's limits as well; to its decode steps the time between steps (sampling, host) is added, which the
peers' benchmarks leave out. Engines are built from DIR/hf with random weights where they are not there yet. --peer may
be given several times; a peer runs every GGUF file of DIR that it can read, or those of the kinds named with it.
--context long compares decoding behind 4096 tokens alone. --quick tries the script out.
"""

import argparse
import datetime
import json
import os
import re
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peers.machine import cpu_name, percentile, portable_command
from peers.step_rates import Failed, Limit, Load, Measurement, Peer, measure_engine, measure_peer, run

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Precision:
    """One of our engines, and the class of the peers' files it is compared with."""

    weights: str
    name: str
    flags: tuple[str, ...]  # of `veloz build`


PRECISIONS = [
    Precision("bf16", "bf16", ("--dtype", "bf16")),
    Precision("fp8", "fp8", ("--dtype", "bf16", "--quant", "fp8")),
    # The peers' files have an lm_head of their width too.
    Precision("8-bit", "int8", ("--dtype", "bf16", "--quant", "int8", "--quant-lm-head", "int8")),
    Precision("4-bit", "int4", ("--dtype", "bf16", "--quant", "int4", "--quant-lm-head", "int8")),
]
KV_DTYPES = ("bf16", "fp8", "int8")
SMALL_KV_OF_PEER = ("-ctk", "q8_0", "-ctv", "q8_0", "-fa", "1")


@dataclass(frozen=True)
class Loads:
    """The steps of the table; --quick shortens them and keeps their roles."""

    prefill: Load
    decode: tuple[Load, ...]  # 1, 4 and 16 sequences
    long: Load

    @classmethod
    def make(cls, is_quick: bool) -> "Loads":
        prompt, context, long, generated = (32, 32, 64, 4) if is_quick else (512, 256, 4096, 32)
        return cls(
            Load(f"prefill {prompt}", "prefill", new_tokens=prompt),
            tuple(Load(f"decode {n}, context {context}", "decode", n, context, generated) for n in (1, 4, 16)),
            Load(f"decode 1, context {long}", "decode", 1, long, generated),
        )

    @property
    def short(self) -> list[Load]:
        return [self.prefill, *self.decode]

    def wanted(self, contexts: str, is_small_cache: bool) -> list[Load]:
        """Of an engine or a file: what `--context` asks for; a small cache is for long contexts alone."""
        short = self.short if contexts != "long" and not is_small_cache else []
        return [*short, *([self.long] if contexts != "short" else [])]

    @property
    def max_model_len(self) -> int:
        return self.long.context + 256  # and what is generated behind it


@dataclass(frozen=True)
class Goal:
    ratio: float | None = None  # to the best peer
    share: float | None = None  # of the machine's limit
    share_of_bf16: float | None = None  # of our own BF16


def goals(loads: Loads) -> dict[tuple[str, str], Goal]:
    """By weights and load."""
    one, four, sixteen = (load.name for load in loads.decode)
    prefill = loads.prefill.name
    return {
        ("bf16", prefill): Goal(1.0, 0.85),
        ("fp8", prefill): Goal(share_of_bf16=0.85),  # no peer has FP8 on a CPU
        ("8-bit", prefill): Goal(1.4, 0.75),
        ("4-bit", prefill): Goal(1.2, 0.60),
        ("fp8", one): Goal(share=0.85),
        ("8-bit", one): Goal(1.0, 0.95),
        ("4-bit", one): Goal(1.25, 0.88),
        ("bf16", four): Goal(1.5, 0.85),
        ("8-bit", four): Goal(2.2, 0.80),
        ("4-bit", four): Goal(2.0, 0.65),
        ("bf16", sixteen): Goal(1.8, 0.75),
        ("8-bit", sixteen): Goal(3.5, 0.65),
        ("4-bit", sixteen): Goal(2.5, 0.55),
    }


LONG_GOAL = Goal(ratio=1.2)  # with a cache of FP8 or INT8


def kind_of_file(path: Path) -> str:
    """As make_dummy_model.py names them: model.gguf, model-Q8_0.gguf."""
    return path.stem.removeprefix("model").removeprefix("-") or "BF16"


def weights_of_file(path: Path) -> str | None:
    """The class a GGUF file's weights belong to: model-IQ4_KS.gguf is 4-bit."""
    kind = kind_of_file(path)
    if kind.startswith(("BF16", "F16")):  # BF16_R16
        return "bf16"
    match = re.match(r"I?Q([48])_", kind)
    return f"{match[1]}-bit" if match else None


@dataclass(frozen=True)
class Contender:
    """A program with a model: what is run once a round."""

    name: str
    weights: str
    kv_cache: str
    is_ours: bool
    measure: Callable[[], Measurement]
    build: str = ""  # ours: flags of `veloz build` that make its weights


class Samples:
    """What all rounds measured, by contender and load."""

    def __init__(self) -> None:
        self.rates: dict[tuple[str, str], list[float]] = defaultdict(list)
        self.limits: dict[tuple[str, str], list[Limit]] = defaultdict(list)

    def add(self, contender: Contender, measurement: Measurement) -> None:
        for load, rate in measurement.rates.items():
            self.rates[contender.name, load].append(rate)
        for load, limit in measurement.limits.items():
            self.limits[contender.name, load].append(limit)

    def summary(self, name: str, load: Load) -> dict[str, float] | None:
        rates = self.rates.get((name, load.name))
        if not rates:
            return None
        figures = {"median": statistics.median(rates), "p10": percentile(rates, 10), "p90": percentile(rates, 90)}
        return {key: round(value, 3) for key, value in figures.items()}


def median_peaks(limits: Sequence[Limit]) -> dict[str, float]:
    return {name: round(statistics.median(limit.peaks[name] for limit in limits), 2) for name in limits[0].peaks}


def is_met(goal: Goal, ratio: float | None, share: float, share_of_bf16: float | None) -> bool | None:
    """All that is asked for, as far as it could be measured; nothing where nothing is asked for."""
    pairs = [(ratio, goal.ratio), (share, goal.share), (share_of_bf16, goal.share_of_bf16)]
    checks = [value >= wanted for value, wanted in pairs if value is not None and wanted is not None]
    return all(checks) if checks else None


def compare(samples: Samples, mine: Contender, load: Load, peers: Sequence[Contender], goal: Goal) -> dict[str, Any]:
    """One row of the table."""
    figures = samples.summary(mine.name, load)
    assert figures is not None
    limits = samples.limits[mine.name, load.name]
    names = [limit.name for limit in limits]
    share = round(statistics.median(limit.share for limit in limits), 3)
    others = {peer.name: samples.summary(peer.name, load) for peer in peers if peer.weights == mine.weights}
    found = {name: summary for name, summary in others.items() if summary is not None}
    best = max(found, key=lambda name: found[name]["median"], default=None)
    ratio = round(figures["median"] / found[best]["median"], 3) if best else None
    bf16 = samples.summary("veloz bf16", load) if goal.share_of_bf16 is not None else None
    share_of_bf16 = round(figures["median"] / bf16["median"], 3) if bf16 else None
    return {
        "bench": "cpu_low_precision",
        "weights": mine.weights,
        "kv_cache": mine.kv_cache,
        "build": mine.build,
        "load": load.name,
        "rounds": len(limits),
        "veloz": figures,
        "peers": found,
        "best_peer": best,
        "ratio": ratio,
        "ratio_goal": goal.ratio,
        "limit": max(names, key=names.count),
        "share": share,
        "share_goal": goal.share,
        "share_of_bf16": share_of_bf16,
        "share_of_bf16_goal": goal.share_of_bf16,
        "is_met": is_met(goal, ratio, share, share_of_bf16),
        "peaks": median_peaks(limits),
    }


def rows(samples: Samples, contenders: Sequence[Contender], loads: Loads) -> list[dict[str, Any]]:
    peers = [contender for contender in contenders if not contender.is_ours]
    table = goals(loads)
    lines = []
    for mine in contenders:
        for load in [*loads.short, loads.long] if mine.is_ours else []:
            if not samples.rates.get((mine.name, load.name)):
                continue
            goal = table.get((mine.weights, load.name), Goal())
            if load == loads.long and mine.kv_cache != "bf16":
                goal = LONG_GOAL
            lines.append(compare(samples, mine, load, peers, goal))
    return lines


def our_contenders(arguments: argparse.Namespace, loads: Loads, repeats: int) -> list[Contender]:
    """Engines that are there or can be built; those with a small cache run at the long context alone."""
    contenders = []
    for precision in PRECISIONS:
        for kv in KV_DTYPES if precision.weights in arguments.weights else ():
            wanted = loads.wanted(arguments.context, kv != "bf16")
            if not wanted:
                continue
            name = precision.name if kv == "bf16" else f"{precision.name}, {kv} cache"
            flags = build_flags(precision, kv, loads.max_model_len)
            # Named by all its flags: an engine of others must not pass for it.
            engine = arguments.dir / "engines" / " ".join(flags).replace("--", "").replace(" ", "-")
            try:
                build_engine(arguments, engine, flags)
            except Failed as e:
                print(f"left out: {e}", file=sys.stderr)
                continue

            def measure(engine: Path = engine, wanted: list[Load] = wanted) -> Measurement:
                return measure_engine(arguments.veloz, engine, arguments.threads, repeats, wanted)

            contenders.append(
                Contender(f"veloz {name}", precision.weights, kv, True, measure, " ".join(precision.flags))
            )
    return contenders


def build_flags(precision: Precision, kv: str, length: int) -> list[str]:
    flags = [*precision.flags, *([] if kv == "bf16" else ["--kv-cache-dtype", kv])]
    return [*flags, "--max-model-len", str(length), "--max-num-seqs", "16"]


def build_engine(arguments: argparse.Namespace, engine: Path, flags: Sequence[str]) -> None:
    if engine.exists():
        return
    engine.parent.mkdir(exist_ok=True)
    run([arguments.veloz, "build", arguments.dir / "hf", "-o", engine, "--load-format", "dummy", *flags])


def peer_contenders(arguments: argparse.Namespace, loads: Loads) -> list[Contender]:
    contenders = []
    for peer in arguments.peer:
        for model in sorted(arguments.dir.glob("model*.gguf")):
            weights = weights_of_file(model)
            if weights is None or weights not in arguments.weights or not peer.runs(kind_of_file(model)):
                continue
            name = f"{peer.name} {kind_of_file(model)}"
            variants: list[tuple[str, list[Load], tuple[str, ...]]] = [
                (name, loads.wanted(arguments.context, False), ())
            ]
            if arguments.context != "short":
                variants.append((f"{name}, q8_0 cache", [loads.long], SMALL_KV_OF_PEER))
            for full_name, wanted, flags in variants:

                def measure(
                    peer: Peer = peer,
                    model: Path = model,
                    wanted: list[Load] = wanted,
                    flags: Sequence[str] = flags,
                ) -> Measurement:
                    return measure_peer(peer, model, arguments.threads, wanted, flags)

                contenders.append(Contender(full_name, weights, "", False, measure))
    return contenders


def run_rounds(contenders: Sequence[Contender], num_rounds: int) -> Samples:
    samples = Samples()
    running = list(contenders)
    for number in range(1, num_rounds + 1):
        for contender in list(running):
            try:
                samples.add(contender, contender.measure())
            except Failed as e:
                print(f"left out from here on: {contender.name}: {e}", file=sys.stderr)
                running.remove(contender)
        print(f"round {number} of {num_rounds} done", flush=True)
    return samples


def with_goal(text: str, goal: str | None) -> str:
    return text if goal is None else f"{text} >= {goal}"


def print_table(lines: Sequence[dict[str, Any]]) -> None:
    print(f"\n{'weights':8} {'KV':5} {'load':24} {'veloz':>22}  {'best peer':36} {'ratio':>12}  share of limit")
    for line in lines:
        mine, best = line["veloz"], line["best_peer"]
        spread = f"{mine['median']:.1f} [{mine['p10']:.1f}-{mine['p90']:.1f}]"
        peer = f"{line['peers'][best]['median']:.1f} {best}" if best else "none"
        ratio = "" if line["ratio"] is None else with_goal(f"{line['ratio']:.2f}", line["ratio_goal"])
        share_goal = None if line["share_goal"] is None else f"{100 * line['share_goal']:.0f}"
        share = with_goal(f"{100 * line['share']:.0f} % of {line['limit']}", share_goal)
        print(
            f"{line['weights']:8} {line['kv_cache']:5} {line['load']:24} {spread:>22}  {peer:36} {ratio:>12}  {share}"
        )


def peer_argument(text: str) -> Peer:
    try:
        return Peer.parse(text)
    except ValueError as e:
        raise argparse.ArgumentTypeError(str(e)) from e


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Every precision on a CPU, beside its peers and the machine's limits.")
    parser.add_argument("dir", type=Path, help="what make_dummy_model.py wrote")
    parser.add_argument("--peer", type=peer_argument, action="append", default=[], help=Peer.FORM)
    parser.add_argument("--veloz", type=Path, default=ROOT / "build/release/veloz")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument(
        "--weights",
        type=lambda text: text.split(","),
        default=[precision.weights for precision in PRECISIONS],
        help="classes to measure: bf16,fp8,8-bit,4-bit",
    )
    parser.add_argument("--context", choices=["short", "long", "both"], default="both")
    parser.add_argument("--quick", action="store_true", help="short steps, no figures to quote")
    parser.add_argument(
        "--output",
        type=Path,
        help="JSONL; absent: bench/results/DATE-cpu-low-precision-1b.jsonl, with --context long -cpu-long-context-1b.jsonl",
    )
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    loads = Loads.make(arguments.quick)
    repeats = 1 if arguments.quick else 3
    contenders = [*our_contenders(arguments, loads, repeats), *peer_contenders(arguments, loads)]
    lines = rows(run_rounds(contenders, arguments.rounds), contenders, loads)
    print_table(lines)
    today = datetime.date.today().isoformat()
    facts = {
        "date": today,
        "machine": cpu_name(),
        "threads": arguments.threads,
        "versions": {"veloz": run([arguments.veloz, "--version"]).strip()},
        "command": "bench/cpu_peer.py " + portable_command(sys.argv[1:]),
    }
    topic = "cpu-long-context-1b" if arguments.context == "long" else "cpu-low-precision-1b"
    output = arguments.output or ROOT / "bench/results" / f"{today}-{topic}.jsonl"
    if not arguments.quick or arguments.output:
        output.write_text("".join(json.dumps(line | facts) + "\n" for line in lines))
        print(f"wrote {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
