#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""CPU time that serving adds to each streamed token, by thread.

    make demo bench && python3 bench/server_cost.py build/engines/ENGINE

Starts `veloz serve`, streams from it, and reads the CPU time of each of its threads from the kernel before and after.
Threads that compute (veloz-step and veloz-pool, and the main thread, which loads) are the model's; what is left is the
server's: connections, HTTP, JSON and events (veloz-io, veloz-work), and scheduling, stop strings and detokenising
(veloz-engine). Medians over the rounds; the load generator's own time is not in it.

A lone stream pays for every token what waking the threads and sending costs. How much that is where nothing else is
done, at the same pace, is measured beside it by veloz_bench_handover, and how much of it is the sending.
"""

import argparse
import collections
import datetime
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from peers.machine import cpu_name
from serving_peer import ROOT, bench_serve, running

COMPUTING = {"veloz-step", "veloz-pool"}
LOADS = [
    "--max-concurrency 1 --random-input-len 16 --random-output-len 128 --num-prompts 16",
    "--max-concurrency 16 --random-input-len 16 --random-output-len 128 --num-prompts 64",
    "--max-concurrency 32 --random-input-len 16 --random-output-len 128 --num-prompts 128",
]
TARGET_US = 15


def is_lone(flags: str) -> bool:
    return "--max-concurrency 1 " in flags


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


def measure(veloz: Path, url: str, flags: str, seed: int) -> tuple[dict[str, float], float]:
    """Microseconds per token by thread, and tokens per second."""
    pid = server_pid(url)
    before = thread_seconds(pid)
    result = bench_serve(veloz, url, flags.split(), 300, seed)
    spent = {name: s - before.get(name, 0.0) for name, s in thread_seconds(pid).items()}
    # The warm-up request streams too.
    tokens = result["total_output_tokens"] * (1 + 1 / result["completed"])
    return {name: s / tokens * 1e6 for name, s in spent.items()}, result["output_throughput"]


def handover_us(program: Path, tokens_per_s: float) -> tuple[float, float]:
    """Microseconds of CPU for a token that is only handed over at that pace, and for one that is only sent."""
    command = [str(program), "--gap-us", f"{1e6 / tokens_per_s:.1f}", "--json"]
    result = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return result["us_per_token"], result["send_us_per_token"]


def main() -> int:
    parser = argparse.ArgumentParser(description="CPU time of the server per streamed token.")
    parser.add_argument("engine", type=Path, help="engine or model directory; a small one, so that computing is quick")
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
    command: list[str | Path] = [arguments.veloz, "serve", arguments.engine, "--disable-access-log"]
    with running(command, "/readyz", log) as url:
        for flags in LOADS:
            rounds = []
            handovers = []
            for seed in range(arguments.rounds):
                rounds.append(measure(arguments.veloz, url, flags, seed))
                if is_lone(flags):
                    handovers.append(handover_us(arguments.handover, rounds[-1][1]))
            names = sorted({name for threads, _ in rounds for name in threads})
            us = {name: statistics.median(threads.get(name, 0.0) for threads, _ in rounds) for name in names}
            server = [sum(t for name, t in threads.items() if name not in COMPUTING) for threads, _ in rounds]
            line = {
                "bench": "server_cost",
                "date": today,
                "machine": cpu_name(),
                "flags": flags,
                "server_us_per_token": statistics.median(server),
                "server_us_per_token_all": server,
                "target": TARGET_US,
                "us_per_token_by_thread": us,
                "output_tokens_per_s": statistics.median(rate for _, rate in rounds),
            }
            if handovers:
                line["handover_us_per_token"] = statistics.median(us for us, _ in handovers)
                line["send_us_per_token"] = statistics.median(us for _, us in handovers)
            lines.append(json.dumps(line))
            print(f"{flags}\n  {line['output_tokens_per_s']:.0f} tokens/s; per token, in us of CPU:")
            for name in names:
                print(f"    {name:16} {us[name]:8.2f}{'  (computes)' if name in COMPUTING else ''}")
            print(f"    {'the server':16} {line['server_us_per_token']:8.2f}  (goal <= {TARGET_US})", flush=True)
            if handovers:
                print(f"    {'handing over':16} {line['handover_us_per_token']:8.2f}  (of it, at the least)")
                print(f"    {'sending':16} {line['send_us_per_token']:8.2f}  (of that)")
    output = arguments.output or ROOT / "bench/results" / f"{today}-cpu-server-cost.jsonl"
    output.write_text("\n".join(lines) + "\n")
    print(f"wrote {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
