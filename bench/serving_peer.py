#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Serving, side by side: `veloz serve` and llama.cpp's server under the same loads, in turn, on the same machine.

    python3 bench/peers/make_dummy_model.py build/peer
    python3 bench/serving_peer.py build/peer --peer /path/to/llama-server

Both hold a model of the same shape, in BF16 or with --weights 8-bit; both are loaded by `veloz bench serve`. The peer's
settings are tried out first and the best one is compared with. Both are up all the time and get each load in turn, the
one that begins changing with the round: where memory's speed changes within minutes, it does so for both. Figures are
medians over the rounds, ratios those of each round. --quick takes a few requests each, to try the script out.
"""

import argparse
import contextlib
import dataclasses
import datetime
import json
import os
import shlex
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peers.machine import cpu_name

ROOT = Path(__file__).resolve().parents[1]
START_S = 300
STOP_S = 30
SLOTS = 16
CONTEXT = 1280  # of one request: the longest prompt and its answer

# What is worth trying on a CPU: the size of a step, and how it attends.
PEER_SETTINGS = ["", "-ub 128", "-ub 1024 -b 2048", "-fa on", "-fa off"]


@dataclass(frozen=True)
class Load:
    """A load, what is compared, and whether more of it is better."""

    name: str
    flags: str
    metric: str  # of the JSON; "short.p99_itl_ms" is of the group "short"
    target: float  # of ours over the peer's
    is_more_better: bool


CONCURRENT = "--max-concurrency 16 --random-input-len 128 --random-output-len 128 --num-prompts 48"
SINGLE = "--max-concurrency 1 --random-input-len 128 --random-output-len 128 --num-prompts 4"
MIXED = (
    "--dataset-name mixed --max-concurrency 8 --num-prompts 40 --random-input-len 64 --random-output-len 64 "
    "--mixed-long-input-len 1024 --mixed-long-output-len 16 --mixed-long-share 0.2"
)
LOADS = [
    Load("16 streams, output tokens/s", CONCURRENT, "output_throughput", 1.3, True),
    Load("16 streams, TTFT median ms", CONCURRENT, "median_ttft_ms", 0.5, False),
    Load("1 stream, output tokens/s", SINGLE, "output_throughput", 1.0, True),
    Load("short chats among long prompts, ITL P99 ms", MIXED, "short.p99_itl_ms", 0.5, False),
]


@dataclass(frozen=True)
class Precision:
    """Flags of `veloz build`, the peer's file, and what both are asked."""

    flags: tuple[str, ...]
    peer_file: str
    loads: tuple[Load, ...]


PRECISIONS = {
    "bf16": Precision(("--dtype", "bf16"), "model.gguf", tuple(LOADS)),
    "8-bit": Precision(
        ("--dtype", "bf16", "--quant", "int8", "--quant-lm-head", "int8"),
        "model-Q8_0.gguf",
        (dataclasses.replace(LOADS[0], target=3.0), LOADS[1]),
    ),
}
QUICK = (
    "--random-input-len 16 --random-output-len 8 --num-prompts 6 --mixed-long-input-len 64 --mixed-long-output-len 4"
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_up(url: str) -> bool:
    with contextlib.suppress(OSError, urllib.error.HTTPError), urllib.request.urlopen(url) as answer:
        return bool(answer.status == 200)
    return False


@contextlib.contextmanager
def running(command: Sequence[str | Path], health: str, log: Path) -> Iterator[str]:
    """The server's address, once it is ready; it is stopped at the end."""
    port = free_port()
    with log.open("w") as output:
        process = subprocess.Popen([*command, "--port", str(port)], stdout=output, stderr=output)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_S
        while not is_up(url + health):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{command[0]} did not start; see {log}")
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
        process.kill()
        process.wait()


def bench_serve(veloz: Path, url: str, flags: Sequence[str], vocab_size: int, seed: int) -> dict[str, Any]:
    """What `veloz bench serve` measured of a server; no request may fail."""
    command: list[str | Path] = [veloz, "bench", "serve", "--base-url", url, "--json"]
    command += ["--random-vocab-size", str(vocab_size), *flags, "--seed", str(seed)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    if result["failed"]:
        raise SystemExit(f"{result['failed']} requests to {url} failed:\n{done.stderr}")
    return result


class Bench:
    def __init__(self, arguments: argparse.Namespace) -> None:
        self.veloz: Path = arguments.veloz
        self.peer: Path = arguments.peer
        self.dir: Path = arguments.dir
        self.threads: int = arguments.threads
        self.is_quick: bool = arguments.quick
        self.precision = PRECISIONS[arguments.weights]
        self.engine = self.dir / ("engine" if arguments.weights == "bf16" else f"engine-{arguments.weights}")
        if not self.engine.exists():
            build = ["build", self.dir / "hf", "-o", self.engine, "--load-format", "dummy", *self.precision.flags]
            subprocess.run([self.veloz, *build], check=True)

    def veloz_server(self) -> contextlib.AbstractContextManager[str]:
        command: list[str | Path] = [
            self.veloz,
            "serve",
            self.engine,
            "--threads",
            str(self.threads),
            "--disable-access-log",
        ]
        command += ["--max-num-seqs", str(SLOTS)]
        return running(command, "/readyz", self.dir / "veloz.log")

    def peer_server(self, setting: str) -> contextlib.AbstractContextManager[str]:
        command: list[str | Path] = [
            self.peer,
            "-m",
            self.dir / self.precision.peer_file,
            "-t",
            str(self.threads),
            "-tb",
            str(self.threads),
        ]
        command += ["-np", str(SLOTS), "-c", str(SLOTS * CONTEXT), *shlex.split(setting)]
        return running(command, "/health", self.dir / "peer.log")

    def load(self, url: str, flags: str, seed: int) -> dict[str, Any]:
        # The last of two equal flags would be refused: what --quick sets replaces what is there.
        options = dict(zip(*[iter(shlex.split(flags))] * 2, strict=True))
        if self.is_quick:
            options |= dict(zip(*[iter(shlex.split(QUICK))] * 2, strict=True))
        return bench_serve(self.veloz, url, [part for option in options.items() for part in option], 32000, seed)

    def best_peer_setting(self) -> str:
        rates = {}
        for setting in PEER_SETTINGS:
            with self.peer_server(setting) as url:
                rates[setting] = self.load(url, CONCURRENT, seed=0)["output_throughput"]
            print(f"peer {setting or '(defaults)':24} {rates[setting]:8.1f} output tokens/s", flush=True)
        return max(rates, key=lambda setting: rates[setting])

    def round(self, urls: Sequence[str], number: int, loads: Sequence[Load]) -> list[dict[str, dict[str, Any]]]:
        """What each server did under each load."""
        results: list[dict[str, dict[str, Any]]] = [{} for _ in urls]
        for i, flags in enumerate(dict.fromkeys(load.flags for load in loads)):
            seed = 100 * number + i  # no prompt comes twice
            for which in range(len(urls))[:: 1 if number % 2 else -1]:
                results[which][flags] = self.load(urls[which], flags, seed)
        return results


def metric(result: dict[str, Any], name: str) -> float:
    group, _, key = name.rpartition(".")
    return float((result["groups"][group] if group else result)[key])


def require_same_work(ours: dict[str, dict[str, Any]], theirs: dict[str, dict[str, Any]]) -> None:
    """Both read and wrote the same number of tokens, or there is nothing to compare."""
    for flags, result in ours.items():
        for key in ["total_input_tokens", "total_output_tokens"]:
            if result[key] != theirs[flags][key]:
                raise SystemExit(f"{key} of {flags!r}: {result[key]} here, {theirs[flags][key]} there")


def compare(load: Load, ours: list[float], theirs: list[float]) -> dict[str, Any]:
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    is_met = ratio >= load.target if load.is_more_better else ratio <= load.target
    return {
        "bench": "serving",
        "load": load.name,
        "flags": load.flags,
        "rounds": len(ours),
        "veloz": statistics.median(ours),
        "veloz_all": ours,
        "peer": statistics.median(theirs),
        "peer_all": theirs,
        "ratio": ratio,
        "target": load.target,
        "is_met": is_met,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare `veloz serve` with llama.cpp's server.")
    parser.add_argument("dir", type=Path, help="what make_dummy_model.py wrote")
    parser.add_argument("--peer", type=Path, required=True, help="llama-server")
    parser.add_argument("--veloz", type=Path, default=ROOT / "build/release/veloz")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--load", help="only loads whose name begins so, such as '1 stream'")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--weights", choices=PRECISIONS, default="bf16")
    parser.add_argument("--peer-setting", help="flags of the peer, instead of the best of those tried")
    parser.add_argument("--quick", action="store_true", help="a few requests each, no figures to quote")
    parser.add_argument("--output", type=Path, help="JSONL; absent: bench/results/DATE-cpu-serving-1b[-8-bit].jsonl")
    arguments = parser.parse_args()
    bench = Bench(arguments)
    setting = arguments.peer_setting if arguments.peer_setting is not None else bench.best_peer_setting()
    loads = [load for load in bench.precision.loads if load.name.startswith(arguments.load or "")]
    if not loads:
        parser.error(f"--load {arguments.load!r} names none of {[load.name for load in bench.precision.loads]}")
    ours, theirs = [], []
    with bench.veloz_server() as veloz_url, bench.peer_server(setting) as peer_url:
        for number in range(1, arguments.rounds + 1):
            one, other = bench.round([veloz_url, peer_url], number, loads)
            require_same_work(one, other)
            ours.append(one)
            theirs.append(other)
            print(f"round {number} of {arguments.rounds} done", flush=True)

    today = datetime.date.today().isoformat()
    topic = "cpu-serving-1b" + ("" if arguments.weights == "bf16" else f"-{arguments.weights}")
    output = arguments.output or ROOT / "bench/results" / f"{today}-{topic}.jsonl"
    machine = {
        "date": today,
        "machine": cpu_name(),
        "threads": arguments.threads,
        "weights": arguments.weights,
        "peer_setting": setting,
    }
    lines = []
    print(f"\n{'load':46} {'veloz':>10} {'llama.cpp':>10} {'ratio':>7} {'target':>8}")
    for load in loads:
        pick = [[metric(one[load.flags], load.metric) for one in rounds] for rounds in (ours, theirs)]
        line = compare(load, *pick) | machine
        sign = ">=" if load.is_more_better else "<="
        print(
            f"{load.name:46} {line['veloz']:10.1f} {line['peer']:10.1f} {line['ratio']:7.2f} {sign} {load.target:.1f}"
        )
        lines.append(json.dumps(line))
    if not arguments.quick or arguments.output:
        output.write_text("\n".join(lines) + "\n")
        print(f"wrote {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
