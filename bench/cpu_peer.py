#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prefill and decode in every precision, side by side with llama.cpp and its relatives, in paired runs.

    python3 bench/peers/make_dummy_model.py build/peer --context 8192 --types BF16,Q8_0,Q4_0
    python3 bench/cpu_peer.py build/peer --peer llama.cpp=/path/to/llama-bench,/path/to/llama-batched-bench
    python3 bench/cpu_peer.py build/peer --peer ik=LLAMA_BENCH,LLAMA_BATCHED_BENCH,BF16_R16+Q8_0_R8+IQ4_K --context long

A shared machine's bandwidth wanders within a minute, so what is compared runs next to each other: a round takes the
classes of weights in turn and the loads of each, and for one load starts our engines and then the peers, one process at
a time with the same number of threads; every second round goes through them backwards. A ratio is the median over the
rounds of ours / the peer's of that round. All figures have their 10th and 90th percentile. Ours come from
`veloz profile`, whose run measures the machine's limits as well; to its decode steps the time between steps (sampling,
host) is added, which the peers' benchmarks leave out. Engines are built from DIR/hf with random weights where they are
not there yet. --peer may be given several times; a peer runs every GGUF file of DIR that it can read, or those of the
kinds named with it. --context long compares decoding behind 4096 tokens alone, --loads "decode 1,decode 4" the loads so
named. --quick tries the script out.
"""

import argparse
import datetime
import json
import os
import re
import shlex
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from peers.machine import cpu_name, percentile, portable_command
from peers.step_rates import Failed, Limit, Load, Measurement, Peer, measure_engine, measure_peer, run

ROOT = Path(__file__).resolve().parents[1]

Line = dict[str, Any]


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


def has_part(name: str, part: str) -> bool:
    """Whether it is in the name without cutting a number: "decode 1" is not in "decode 16, context 256"."""
    return re.search(rf"(?<!\d){re.escape(part)}(?!\d)", name) is not None


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

    @property
    def all(self) -> list[Load]:
        return [*self.short, self.long]

    def wanted(self, contexts: str, is_small_cache: bool, parts: Sequence[str] = ()) -> list[Load]:
        """Of an engine or a file: what `--context` and `--loads` ask for; a small cache is for long contexts alone."""
        short = self.short if contexts != "long" and not is_small_cache else []
        loads = [*short, *([self.long] if contexts != "short" else [])]
        return [load for load in loads if not parts or any(has_part(load.name, part) for part in parts)]

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
    """A program with a model: what is run once a round for each of its loads."""

    name: str
    weights: str
    kv_cache: str
    is_ours: bool
    loads: Collection[Load]
    measure: Callable[[Load], Measurement | None]  # None: it has no way to run this load
    build: str = ""  # ours: flags of `veloz build` that make its weights


class Samples:
    """What all rounds measured, by contender, load and round: only what one round measured is ever divided."""

    def __init__(self) -> None:
        self.by_round: dict[tuple[str, str], dict[int, Measurement]] = defaultdict(dict)

    def add(self, round_idx: int, contender: Contender, load: Load, measurement: Measurement) -> None:
        self.by_round[contender.name, load.name][round_idx] = measurement

    def rates(self, name: str, load: Load) -> dict[int, float]:
        found = self.by_round.get((name, load.name), {})
        return {round_idx: measurement.rate for round_idx, measurement in found.items()}

    def limits(self, name: str, load: Load) -> dict[int, Limit]:
        found = self.by_round.get((name, load.name), {})
        return {round_idx: one.limit for round_idx, one in found.items() if one.limit is not None}


def divide(a: Mapping[int, float], b: Mapping[int, float]) -> dict[int, float]:
    """Of the rounds that both have."""
    return {round_idx: value / b[round_idx] for round_idx, value in a.items() if round_idx in b}


def summary(by_round: Mapping[int, float]) -> dict[str, float]:
    values = list(by_round.values())
    figures = {"median": statistics.median(values), "p10": percentile(values, 10), "p90": percentile(values, 90)}
    return {key: round(value, 3) for key, value in figures.items()}


def median(by_round: Mapping[int, float]) -> float | None:
    return summary(by_round)["median"] if by_round else None


def median_peaks(limits: Sequence[Limit]) -> dict[str, float]:
    return {name: round(statistics.median(limit.peaks[name] for limit in limits), 2) for name in limits[0].peaks}


def is_met(goal: Goal, ratio: float | None, share: float, share_of_bf16: float | None) -> bool | None:
    """All that is asked for, as far as it could be measured; nothing where nothing is asked for."""
    pairs = [(ratio, goal.ratio), (share, goal.share), (share_of_bf16, goal.share_of_bf16)]
    checks = [value >= wanted for value, wanted in pairs if value is not None and wanted is not None]
    return all(checks) if checks else None


def beside_best(rates: Mapping[int, float], peers: Mapping[str, dict[int, float]], shares: Mapping[int, float]) -> Line:
    """The columns about the peer against which the median of the rounds' ratios is lowest."""
    ratios = {name: divide(rates, theirs) for name, theirs in peers.items()}
    ratios = {name: found for name, found in ratios.items() if found}
    if not ratios:
        return dict.fromkeys(("best_peer", "ratio", "ratio_p10", "ratio_p90", "limit_ratio"))
    best = min(ratios, key=lambda name: statistics.median(ratios[name].values()))
    figures = summary(ratios[best])
    return {
        "best_peer": best,
        "ratio": figures["median"],
        "ratio_p10": figures["p10"],
        "ratio_p90": figures["p90"],
        "limit_ratio": median(divide(ratios[best], shares)),  # of a program that reached all of the limit
    }


def compare(samples: Samples, mine: Contender, load: Load, peers: Sequence[Contender], goal: Goal) -> Line:
    """One row of the table."""
    rates = samples.rates(mine.name, load)
    limits = samples.limits(mine.name, load)
    names = [limit.name for limit in limits.values()]
    shares = {round_idx: limit.share for round_idx, limit in limits.items()}
    share = summary(shares)["median"]
    others = {peer.name: samples.rates(peer.name, load) for peer in peers if peer.weights == mine.weights}
    found = {name: theirs for name, theirs in others.items() if theirs}
    beside = beside_best(rates, found, shares)
    bf16 = samples.rates("veloz bf16", load) if goal.share_of_bf16 is not None else {}
    share_of_bf16 = median(divide(rates, bf16))
    return {
        "bench": "cpu_low_precision",
        "weights": mine.weights,
        "kv_cache": mine.kv_cache,
        "build": mine.build,
        "load": load.name,
        "rounds": len(limits),
        "veloz": summary(rates),
        "peers": {name: summary(theirs) for name, theirs in found.items()},
        **beside,
        "ratio_goal": goal.ratio,
        "limit": max(names, key=names.count),
        "share": share,
        "share_goal": goal.share,
        "share_of_bf16": share_of_bf16,
        "share_of_bf16_goal": goal.share_of_bf16,
        "is_met": is_met(goal, beside["ratio"], share, share_of_bf16),
        "peaks": median_peaks(list(limits.values())),
    }


def rows(samples: Samples, contenders: Sequence[Contender], loads: Loads) -> list[Line]:
    peers = [contender for contender in contenders if not contender.is_ours]
    table = goals(loads)
    lines = []
    for mine in contenders:
        for load in loads.all if mine.is_ours else []:
            if not samples.rates(mine.name, load):
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
            wanted = loads.wanted(arguments.context, kv != "bf16", arguments.loads)
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
            measure = partial(measure_engine, arguments.veloz, engine, arguments.threads, repeats)
            build = " ".join(precision.flags)
            contenders.append(Contender(f"veloz {name}", precision.weights, kv, True, wanted, measure, build))
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
            caches: list[tuple[str, bool, tuple[str, ...]]] = [
                (name, False, ()),
                (f"{name}, q8_0 cache", True, SMALL_KV_OF_PEER),
            ]
            for full_name, is_small_cache, flags in caches:
                wanted = loads.wanted(arguments.context, is_small_cache, arguments.loads)
                measure = partial(measure_peer, peer, model, arguments.threads, flags)
                contenders.append(Contender(full_name, weights, "", False, wanted, measure))
    return contenders


def turns(contenders: Sequence[Contender], loads: Loads, round_idx: int) -> Iterator[tuple[Contender, Load]]:
    """What a round runs: the contenders of one class and load one after another."""
    for weights in dict.fromkeys(precision.weights for precision in PRECISIONS):
        for load in loads.all:
            rivals = [one for one in contenders if one.weights == weights and load in one.loads]
            # Backwards, so that what drifts steadily favours nobody.
            for contender in reversed(rivals) if round_idx % 2 else rivals:
                yield contender, load


def run_rounds(contenders: Sequence[Contender], loads: Loads, num_rounds: int) -> Samples:
    samples = Samples()
    left_out: set[str] = set()
    for round_idx in range(num_rounds):
        for contender, load in turns(contenders, loads, round_idx):
            if contender.name in left_out:
                continue
            try:
                measurement = contender.measure(load)
            except Failed as e:
                print(f"left out from here on: {contender.name}: {e}", file=sys.stderr)
                left_out.add(contender.name)
                continue
            if measurement is not None:
                samples.add(round_idx, contender, load, measurement)
        print(f"round {round_idx + 1} of {num_rounds} done", flush=True)
    return samples


def with_goal(text: str, goal: float | str | None) -> str:
    return text if goal is None else f"{text} >= {goal}"


def ratio_text(line: Line) -> str:
    if line["ratio"] is None:
        return ""
    spread = f"{line['ratio']:.2f} [{line['ratio_p10']:.2f}-{line['ratio_p90']:.2f}]"
    return with_goal(spread, line["ratio_goal"])


def print_table(lines: Sequence[Line]) -> None:
    print(f"\n{'weights':8} {'KV':5} {'load':24} {'veloz':>22}  {'best peer':36} {'ratio':>23}  share of limit")
    for line in lines:
        mine, best = line["veloz"], line["best_peer"]
        spread = f"{mine['median']:.1f} [{mine['p10']:.1f}-{mine['p90']:.1f}]"
        peer = f"{line['peers'][best]['median']:.1f} {best}" if best else "none"
        share_goal = None if line["share_goal"] is None else f"{100 * line['share_goal']:.0f}"
        share = with_goal(f"{100 * line['share']:.0f} % of {line['limit']}", share_goal)
        start = f"{line['weights']:8} {line['kv_cache']:5} {line['load']:24} {spread:>22}"
        print(f"{start}  {peer:36} {ratio_text(line):>23}  {share}")


def peer_argument(text: str) -> Peer:
    try:
        return Peer.parse(text)
    except ValueError as e:
        raise argparse.ArgumentTypeError(str(e)) from e


def parse_arguments(words: Sequence[str]) -> argparse.Namespace:
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
    parser.add_argument(
        "--loads",
        type=lambda text: [part.strip() for part in text.split(",") if part.strip()],
        default=[],
        help='parts of the names of those to measure, as in "prefill,decode 4"; absent: all',
    )
    parser.add_argument("--quick", action="store_true", help="short steps, no figures to quote")
    parser.add_argument(
        "--output",
        type=Path,
        help="JSONL; absent: bench/results/DATE-cpu-low-precision-1b.jsonl, with --context long -cpu-long-context-1b.jsonl",
    )
    arguments = parser.parse_args(words)
    names = [load.name for load in Loads.make(arguments.quick).wanted(arguments.context, False)]
    for part in arguments.loads:
        if not any(has_part(name, part) for name in names):
            parser.error(f'--loads "{part}" names none of: {"; ".join(names)}')
    if arguments.loads and not (arguments.output or arguments.quick):
        parser.error("--loads measures a part of the day's table: name a file of its own with --output")
    return arguments


def main() -> int:
    arguments = parse_arguments(sys.argv[1:])
    loads = Loads.make(arguments.quick)
    repeats = 1 if arguments.quick else 3
    contenders = [*our_contenders(arguments, loads, repeats), *peer_contenders(arguments, loads)]
    lines = rows(run_rounds(contenders, loads, arguments.rounds), contenders, loads)
    print_table(lines)
    today = datetime.date.today().isoformat()
    facts = {
        "date": today,
        "machine": cpu_name(),
        "threads": arguments.threads,
        "versions": {"veloz": run([arguments.veloz, "--version"]).strip()},
        "command": "bench/cpu_peer.py " + shlex.join(portable_command([word]) for word in sys.argv[1:]),
    }
    topic = "cpu-long-context-1b" if arguments.context == "long" else "cpu-low-precision-1b"
    output = arguments.output or ROOT / "bench/results" / f"{today}-{topic}.jsonl"
    if not arguments.quick or arguments.output:
        output.write_text("".join(json.dumps(line | facts) + "\n" for line in lines))
        print(f"wrote {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
