# SPDX-License-Identifier: Apache-2.0
"""Tokens per second of single steps: ours from `veloz profile`, the peers' from llama-bench and llama-batched-bench."""

import functools
import json
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TIMEOUT_S = 1800


@dataclass(frozen=True)
class Load:
    """A step that is timed: a prompt of `new_tokens`, or one token of each sequence behind its context."""

    name: str
    kind: str  # "prefill", "decode"
    sequences: int = 1
    context: int = 0
    new_tokens: int = 1  # of a prompt; of a decoding peer, over how many it takes the mean


@dataclass(frozen=True)
class Limit:
    """What bounds a step, and how much of it was reached."""

    name: str  # "dram_read"
    share: float
    peaks: dict[str, float]  # of the machine, measured by the same process


@dataclass(frozen=True)
class Measurement:
    """What one process measured of one load."""

    rate: float  # tokens/s over all sequences
    limit: Limit | None = None  # of ours


class Failed(Exception):
    """A program did not do what it was asked."""


def run(command: Sequence[str | Path], with_log: bool = False, directory: str | None = None) -> str:
    """What it printed; its log too, where the result may lie among that."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT_S, cwd=directory)
    except (OSError, subprocess.TimeoutExpired) as e:
        raise Failed(f"{' '.join(words)}: {e}") from e
    if done.returncode != 0:
        raise Failed(f"{' '.join(words)}\n{done.stderr.strip()[-500:]}")
    return done.stderr + done.stdout if with_log else done.stdout


def run_peer(command: Sequence[str | Path], with_log: bool = False) -> str:
    """In a directory that goes away with the logs that peers leave where they run."""
    with tempfile.TemporaryDirectory() as scratch:
        return run([word.resolve() if isinstance(word, Path) else word for word in command], with_log, scratch)


def read_phase(phase: dict[str, Any], peaks: dict[str, float]) -> Measurement:
    """Tokens/s of one phase of a profile, the time between steps included, and what bounds it."""
    between = phase["between_steps"] or {"sampling_ms": 0, "host_ms": 0}
    step_ms = phase["step_ms"] + between["sampling_ms"] + between["host_ms"]
    roofs: dict[str, float] = defaultdict(float)
    for group in phase["groups"]:
        roofs[group["roof"]] += group["roof_ms"]
    rate = 1e3 * phase["batch_size"] * phase["new_tokens"] / step_ms
    return Measurement(rate, Limit(max(roofs, key=lambda name: roofs[name]), phase["roof_ms"] / step_ms, peaks))


def measure_engine(veloz: Path, engine: Path, threads: int, repeats: int, load: Load) -> Measurement:
    # A profile always decodes: beside a prompt it is one token behind nothing, which is not looked at.
    prefill = load.new_tokens if load.kind == "prefill" else 0
    command: list[str | Path] = [veloz, "profile", engine, "--json"]
    command += ["--threads", str(threads), "--repeats", str(repeats), "--prefill", str(prefill)]
    command += ["--context", str(load.context), "--batch-sizes", str(load.sequences)]
    report = json.loads(run(command))
    phase = next(phase for phase in report["phases"] if phase["phase"] == load.kind)
    return read_phase(phase, report["peaks"])


@dataclass(frozen=True)
class Peer:
    name: str
    bench: Path
    batched: Path | None
    kinds: frozenset[str] = frozenset()  # of the files it is to run; none: all

    FORM = "NAME=LLAMA_BENCH[,LLAMA_BATCHED_BENCH[,KIND+KIND...]]"

    @classmethod
    def parse(cls, text: str) -> "Peer":
        name, _, paths = text.partition("=")
        bench, _, rest = paths.partition(",")
        batched, _, kinds = rest.partition(",")
        if not name or not bench:
            raise ValueError(f"{text!r} is not {cls.FORM}")
        return cls(name, Path(bench), Path(batched) if batched else None, frozenset(kinds.split("+")) - {""})

    def runs(self, kind: str) -> bool:
        return not self.kinds or kind in self.kinds


def last_of_table(text: str, column: str) -> float | None:
    """Of the table with bars that llama-batched-bench prints among its log."""
    lines = [line.strip() for line in text.splitlines()]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    head = next((row for row in rows if column in row), None)
    if head is None or len(rows[-1]) != len(head) or not rows[-1][0].isdigit():
        return None
    return float(rows[-1][head.index(column)])


@functools.cache
def has_depth(bench: Path) -> bool:
    """llama.cpp's has -d, a context that is not timed; ik_llama.cpp's has -gp for that."""
    return "--n-depth" in run_peer([bench, "--help"])


def single_sequence_flags(peer: Peer, load: Load) -> list[str]:
    new_tokens, context = str(load.new_tokens), str(load.context)
    if load.kind == "prefill":
        return ["-p", new_tokens, "-n", "0"]
    if has_depth(peer.bench):
        return ["-p", "0", "-n", new_tokens, "-d", context]
    return ["-p", "0", "-n", "0", "-gp", f"{context},{new_tokens}"]


def measure_peer(peer: Peer, model: Path, threads: int, flags: Sequence[str], load: Load) -> Measurement | None:
    """Several sequences need llama-batched-bench, which reads their common prompt once; nothing without it."""
    common: list[str | Path] = ["-m", model, "-t", str(threads), *flags]
    if load.sequences == 1:
        work = [*single_sequence_flags(peer, load), "-r", "1", "-o", "json"]
        return Measurement(float(json.loads(run_peer([peer.bench, *common, *work]))[0]["avg_ts"]))
    if peer.batched is None:
        return None
    size = load.sequences * (load.context + load.new_tokens)  # a copy each, where it makes copies
    work = ["-tb", str(threads), "-c", str(size), "-b", "2048", "-ub", "512"]
    work += ["-pps", "-npp", str(load.context), "-ntg", str(load.new_tokens), "-npl", str(load.sequences)]
    rate = last_of_table(run_peer([peer.batched, *common, *work], with_log=True), "S_TG t/s")
    if rate is None:
        raise Failed(f"{peer.batched} printed no result for {model}")
    return Measurement(rate)
