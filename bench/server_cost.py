#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""CPU time that serving adds to each streamed token, by thread.

    make demo bench && python3 bench/server_cost.py build/engines/ENGINE
    python3 bench/server_cost.py build/engines/ENGINE build/engines/LARGE

Starts `veloz serve`, streams from it, and reads the CPU time of each of its threads from the kernel before and after.
veloz-pool computes, and so does the main thread, which loads; of the engine's thread the server counts itself how much
went into steps (engine_compute_cpu_seconds_total). What is left is the server's: connections, HTTP, JSON and events
(veloz-io, veloz-work), and scheduling, stop strings and detokenising (veloz-engine). Medians over the rounds; the load
generator's own time is not in it.

A small model is quick, so that the server has much to do, and leaves it the caches; a large one (streams of 128 tokens
in and 128 out) takes them away, and lets threads sleep deeply between two tokens. A lone stream pays for every token
what waking a thread and sending costs. How much that is where nothing else is done, at the same pace, is measured
beside it by veloz_bench_handover, and how much of it is the sending.
"""

import argparse
import collections
import datetime
import json
import os
import statistics
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peers.machine import cpu_name
from serving_peer import ROOT, bench_serve, running

ENGINE_THREAD = "veloz-engine"
STEPS = "steps"  # what the engine's thread computes
COMPUTING = {"veloz-pool", STEPS}
COMPUTE_METRIC = "veloz:engine_compute_cpu_seconds_total"
TARGET_US = 15
LARGE = 100_000_000  # weights


@dataclass(frozen=True)
class Load:
    """So many streams at a time, each of `repeats` requests one after the other."""

    streams: int
    repeats: int
    input_len: int

    def flags(self) -> list[str]:
        return (
            f"--num-warmups 0 --max-concurrency {self.streams} --num-prompts {self.streams * self.repeats} "
            f"--random-input-len {self.input_len} --random-output-len 128"
        ).split()


SMALL_LOADS = [Load(1, 16, 16), Load(16, 4, 16), Load(32, 4, 16)]
LARGE_LOADS = [Load(1, 4, 128), Load(16, 2, 128)]


def thread_seconds(pid: int) -> dict[str, float]:
    """CPU seconds by thread name, to the nanosecond."""
    seconds: dict[str, float] = collections.defaultdict(float)
    for task in Path(f"/proc/{pid}/task").iterdir():
        name = (task / "comm").read_text().strip()
        nanoseconds = int((task / "schedstat").read_text().split()[0])
        seconds[name] += nanoseconds / 1e9
    return seconds


def server_pid(url: str) -> int:
    """Of the process that listens: a child of this one."""
    port = url.rsplit(":", 1)[1]
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    for child in children:
        if port in Path(f"/proc/{child}/cmdline").read_text().split("\0"):
            return int(child)
    raise SystemExit("the server is gone")


def compute_seconds(url: str) -> float:
    """CPU seconds of the engine's thread that went into steps."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(COMPUTE_METRIC):
                return float(line.rsplit(" ", 1)[1])
    raise SystemExit(f"the server does not tell {COMPUTE_METRIC}")


def server_seconds(url: str, pid: int) -> dict[str, float]:
    """CPU seconds by thread name, the engine's without its steps, which are a row of their own."""
    steps = compute_seconds(url)
    seconds = thread_seconds(pid)
    return seconds | {ENGINE_THREAD: seconds[ENGINE_THREAD] - steps, STEPS: steps}


def measure(veloz: Path, url: str, load: Load, seed: int) -> tuple[dict[str, float], float]:
    """Microseconds per token by thread, and tokens per second."""
    pid = server_pid(url)
    before = server_seconds(url, pid)
    result = bench_serve(veloz, url, load.flags(), 300, seed)
    spent = {name: s - before.get(name, 0.0) for name, s in server_seconds(url, pid).items()}
    tokens = result["total_output_tokens"]
    return {name: s / tokens * 1e6 for name, s in spent.items()}, result["output_throughput"]


def handover_us(program: Path, tokens_per_s: float) -> tuple[float, float]:
    """Microseconds of CPU for a token that is only handed over at that pace, and for one that is only sent."""
    gap_us = 1e6 / tokens_per_s
    tokens = round(min(5000, 10e6 / gap_us))
    command = [str(program), "--gap-us", f"{gap_us:.1f}", "--tokens", str(tokens), "--json"]
    result = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return result["us_per_token"], result["send_us_per_token"]


def num_weights(veloz: Path, engine: Path) -> int:
    command = [str(veloz), "inspect", str(engine), "--json"]
    report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return int(report["manifest"]["model"]["num_parameters"])


def measure_load(arguments: argparse.Namespace, url: str, load: Load) -> dict[str, Any]:
    rounds = []
    handovers = []
    for seed in range(arguments.rounds):
        rounds.append(measure(arguments.veloz, url, load, seed))
        if load.streams == 1:
            handovers.append(handover_us(arguments.handover, rounds[-1][1]))
    names = sorted({name for threads, _ in rounds for name in threads})
    server = [sum(us for name, us in threads.items() if name not in COMPUTING) for threads, _ in rounds]
    line: dict[str, Any] = {
        "streams": load.streams,
        "flags": " ".join(load.flags()),
        "server_us_per_token": statistics.median(server),
        "server_us_per_token_all": server,
        "target": TARGET_US,
        "us_per_token_by_thread": {n: statistics.median(threads.get(n, 0.0) for threads, _ in rounds) for n in names},
        "output_tokens_per_s": statistics.median(rate for _, rate in rounds),
    }
    if handovers:
        line["handover_us_per_token"] = statistics.median(us for us, _ in handovers)
        line["send_us_per_token"] = statistics.median(us for _, us in handovers)
    return line


def print_load(line: dict[str, Any]) -> None:
    print(f"{line['flags']}\n  {line['output_tokens_per_s']:.0f} tokens/s; per token, in us of CPU:")
    for name, us in line["us_per_token_by_thread"].items():
        print(f"    {name:16} {us:8.2f}{'  (computes)' if name in COMPUTING else ''}")
    print(f"    {'the server':16} {line['server_us_per_token']:8.2f}  (goal <= {TARGET_US})", flush=True)
    if "handover_us_per_token" in line:
        print(f"    {'handing over':16} {line['handover_us_per_token']:8.2f}  (of it, at the least)")
        print(f"    {'sending':16} {line['send_us_per_token']:8.2f}  (of that)", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="CPU time of the server per streamed token.")
    parser.add_argument("engines", type=Path, nargs="+", help="small ones, and such as fill the caches")
    parser.add_argument("--veloz", type=Path, default=ROOT / "build/release/veloz")
    parser.add_argument("--handover", type=Path, default=ROOT / "build/release/bench/veloz_bench_handover")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, help="JSONL; absent: bench/results/DATE-cpu-server-cost.jsonl")
    arguments = parser.parse_args()
    for program in (arguments.veloz, arguments.handover):
        if not program.exists():
            parser.error(f"{program} is not there: `make bench` builds it")
    today = datetime.date.today().isoformat()
    lines = []
    log = ROOT / "build/server_cost.log"
    for engine in arguments.engines:
        weights = num_weights(arguments.veloz, engine)
        command: list[str | Path] = [arguments.veloz, "serve", engine, "--disable-access-log"]
        with running(command, "/readyz", log) as url:
            for load in LARGE_LOADS if weights >= LARGE else SMALL_LOADS:
                measured = measure_load(arguments, url, load)
                print_load(measured)
                head = {"bench": "server_cost", "date": today, "machine": cpu_name(), "weights": weights}
                lines.append(json.dumps(head | measured))
    output = arguments.output or ROOT / "bench/results" / f"{today}-cpu-server-cost.jsonl"
    output.write_text("\n".join(lines) + "\n")
    print(f"wrote {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
