# SPDX-License-Identifier: Apache-2.0
"""Whole models with random weights: each is loaded once, `veloz bench sweep` measures all of its shapes."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gpu import lengths, process
from gpu.kernels import parse_rows
from gpu.suite import Context, Json, Part, Step

BUILD_S = 60
SILENCE_S = 150  # the longest that loading or one run may take
MOST_RESTARTS = 4
FAST = "-fast"


@dataclass(frozen=True)
class Run:
    """`arguments` of --run; {file} is a file of requests, written by `mix` or `fixed` with `at_once` in flight."""

    name: str
    arguments: str
    mix: lengths.Mix | None = None
    fixed: tuple[int, int] | None = None
    count: int = 0
    at_once: int = 0


@dataclass(frozen=True)
class Model:
    part: str
    config: str  # directory under models/
    vocab_size: int
    build: str
    load: str
    runs: tuple[Run, ...]
    budget_s: float

    @property
    def engine(self) -> str:
        """Both classes of a model share one, and its files of requests."""
        return self.part.removesuffix(FAST)


def latency(batch: int, iters: int = 2, prompt: int = 128, output: int = 96) -> Run:
    return Run(f"decode {batch}", f"latency batch={batch} in={prompt} out={output} iters={iters} warmup=1")


def offline(prompt: int, output: int, count: int, stop_s: int) -> Run:
    return Run(f"offline {prompt}/{output}", f"throughput prompts={count} in={prompt} out={output} stop={stop_s}")


FP8 = "--quant fp8 --kv-cache-dtype fp8 --max-num-seqs 1024 --max-num-batched-tokens 8192"

LLAMA_70B = Model(
    part="llama70b",
    config="llama-2-70b",
    vocab_size=32000,
    build=f"{FP8} --max-model-len 4096",
    load="--gpu-memory-utilization 0.94",
    budget_s=300,
    runs=(
        latency(1),
        Run(
            "mlperf mix",
            "throughput file={file} warm=32 stop=54",
            mix=lengths.LLAMA2_70B,
            count=2400,
            at_once=640,
        ),
        Run(
            "offline 128/2048",
            "throughput file={file} warm=28 stop=46",
            fixed=(128, 2048),
            count=400,
            at_once=190,
        ),
        latency(128),
        latency(32),
        latency(8),
        latency(256, 1),
        latency(512, 1),
        offline(128, 128, 1024, 45),
        offline(2048, 128, 96, 40),
    ),
)
LLAMA_8B = Model(
    part="llama8b",
    config="llama-3.1-8b",
    vocab_size=128256,
    build=f"{FP8} --max-model-len 8192",
    load="--gpu-memory-utilization 0.9",
    budget_s=150,
    runs=(
        latency(1),
        offline(128, 128, 3072, 30),
        *(latency(batch) for batch in (128, 32, 8, 256, 512)),
        offline(2048, 128, 256, 20),
        Run(
            "offline 128/2048",
            "throughput file={file} warm=15 stop=30",
            fixed=(128, 2048),
            count=2048,
            at_once=1024,
        ),
    ),
)
GPT_J = Model(
    part="gptj",
    config="gpt-j-6b",
    vocab_size=50400,
    build=f"{FP8} --max-beam-width 4",
    load="--gpu-memory-utilization 0.9",
    budget_s=150,
    runs=(
        Run(
            "mlperf mix, beam 4",
            "throughput file={file} beams=4 warm=8 stop=24",
            mix=lengths.GPT_J,
            count=1600,
            at_once=128,
        ),
        latency(1),
        *(latency(batch) for batch in (32, 128, 8, 256, 512)),
        offline(128, 128, 2048, 25),
        offline(1024, 64, 256, 20),
    ),
)


def fast(model: Model, budget_s: float, *names: str) -> Model:
    """Some of its runs, in the order given, with large products by cuBLASLt."""
    known = {run.name: run for run in model.runs}
    return replace(
        model,
        part=model.part + FAST,
        load=f"{model.load} --allow-nondeterminism",
        runs=tuple(known[name] for name in names),
        budget_s=budget_s,
    )


LLAMA_70B_FAST = fast(
    LLAMA_70B, 200, "mlperf mix", "offline 128/2048", "decode 128", "decode 1", "offline 2048/128", "decode 256"
)
LLAMA_8B_FAST = fast(
    LLAMA_8B, 120, "offline 128/128", "decode 128", "offline 128/2048", "decode 1", "offline 2048/128", "decode 512"
)
GPT_J_FAST = fast(GPT_J, 120, "mlperf mix, beam 4", "decode 128", "decode 1", "offline 1024/64", "offline 128/128")
MODELS = (LLAMA_8B, GPT_J, LLAMA_70B, LLAMA_70B_FAST, LLAMA_8B_FAST, GPT_J_FAST)


def run_of(context: Context, model: Model, run: Run) -> str:
    """Its --run, with its file of requests written."""
    if run.mix is None and run.fixed is None:
        return run.arguments
    path = context.work / "requests" / f"{model.engine}-{re.sub(r'[^a-z0-9]+', '-', run.name)}.jsonl"
    if not path.exists():
        pairs = lengths.lengths(run.mix, run.count) if run.mix else lengths.fixed(*(run.fixed or (1, 1)), run.count)
        lengths.write_requests(
            path, lengths.staggered(pairs, run.at_once, is_aged=run.fixed is not None), model.vocab_size
        )
    return run.arguments.format(file=path)


def engine_of(context: Context, model: Model) -> Path:
    """Of this revision: on a machine that is not the last call's, or with other programs, it is not there."""
    return context.work / "engines" / f"{model.engine}-{context.results.data['revision']}"


def build_if_missing(context: Context, model: Model, seconds: float) -> process.Outcome | None:
    engine = engine_of(context, model)
    if engine.exists():
        return None
    command = [context.program("veloz"), "build", str(context.bundle / "models" / model.config), "-o", str(engine)]
    flags = f"--target cuda --load-format dummy-at-load {model.build}".split()
    return process.run([*command, *flags], log=context.log(f"{model.part}-build"), timeout_s=seconds, env=context.env())


def with_energy(context: Context, row: Json, at: float) -> Json:
    """What the GPU drew while it was measured: the time before the line came."""
    duration = sum(row["latencies"]) if "latencies" in row else row.get("elapsed_time")
    if not duration:
        return row
    window = context.sampler.window(at - duration, at)
    tokens = row.get("num_output_tokens")
    if "latencies" in row and (match := re.search(r"batch=(\d+) .*out=(\d+)", row["run"])):
        tokens = int(match[1]) * int(match[2]) * len(row["latencies"])
    if window and tokens:
        window["tokens_per_joule"] = round(tokens / window["joules"], 3)
    return row | window


def is_slow_to_begin(lines: Sequence[process.Line]) -> bool:
    return not any('"loaded"' in line.text for line in lines)


def sweep(context: Context, model: Model, seconds: float) -> Json:
    before = context.results.step(model.part, "sweep")
    revision = context.results.data["revision"]
    rows: list[Json] = [row for row in before.get("rows", []) if "error" not in row]
    done = {row["name"] for row in rows if "name" in row}
    todo = [run for run in model.runs if run.name not in done]
    engine = str(engine_of(context, model))
    deadline = time.monotonic() + seconds
    built = build_if_missing(context, model, min(BUILD_S, seconds))
    if built is not None and built.status != "ok":
        return {"status": built.status, "error": "veloz build", "rows": rows, "tail": built.tail}
    failed: list[Json] = []
    tail: list[str] = []
    for _ in range(MOST_RESTARTS):
        left = deadline - time.monotonic()
        if not todo or left < 10:
            break
        texts = {run_of(context, model, run): run for run in todo}
        flags = [word for text in texts for word in ("--run", text)]
        outcome = process.run(
            [context.program("veloz"), "bench", "sweep", engine, "--device", "cuda", *model.load.split(), *flags],
            log=context.log(f"{model.part}-sweep"),
            timeout_s=left,
            silence_s=SILENCE_S,
            env=context.env(),
        )
        for line in outcome.lines:
            for row in parse_rows(line.text):
                if "loaded" in row:
                    rows = [other for other in rows if "loaded" not in other] + [row]
                elif run := texts.get(row.get("run", "")):
                    if outcome.status != "ok" and is_cut_short(row):
                        continue
                    todo.remove(run)
                    row = {"name": run.name, "revision": revision} | with_energy(context, row, line.at)
                    row["run"] = row["run"].replace(f"{context.work}/", "")  # where that is belongs to the machine
                    row.pop("latencies", None)
                    (failed if "error" in row else rows).append(row)
        if outcome.status == "ok" or (outcome.status == "failed" and not todo):
            break
        tail = outcome.tail
        if outcome.status == "timeout" or is_slow_to_begin(outcome.lines):
            break
        # The run in flight took the program along: the others may still be possible.
        failed.append({"name": todo[0].name, "error": f"{outcome.status}, exit code {outcome.exit_code}"})
        todo.pop(0)
    status = "ok" if not todo and not failed else ("partial" if any("name" in row for row in rows) else "failed")
    messages = [f"{row['name']}: {row['error']}" for row in failed]
    summary = "; ".join(summary_of(row) for row in rows if "name" in row)
    return {"status": status, "summary": summary, "rows": rows + failed, "tail": messages + tail}


def is_cut_short(row: Json) -> bool:
    """Stopped before one request of it was done."""
    return bool(row.get("latencies", [0]) == [] or row.get("num_requests", 1) == 0)


def summary_of(row: Json) -> str:
    for key, unit in (
        ("decode_tokens_per_second", "tok/s"),
        ("steady_output_tokens_per_second", "tok/s"),
        ("output_tokens_per_second", "tok/s"),
    ):
        if row.get(key):
            return f"{row['name']} {row[key]:.0f} {unit}"
    return str(row["name"])


def part_of(model: Model) -> Part:
    step = Step("sweep", lambda context, seconds: sweep(context, model, seconds))
    return Part(model.part, model.budget_s, lambda _: [step])
