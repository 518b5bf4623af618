# SPDX-License-Identifier: Apache-2.0
"""The bundled models, built for the GPU in every precision: what it answers beside what the CPU answers."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

from gpu import process
from gpu.suite import Context, Json, Step

MODELS = ("tiny-llama", "tiny-gptj")
PRECISIONS = {
    "bf16": "--dtype bf16",
    "fp32": "--dtype fp32",
    "fp8": "--dtype bf16 --quant fp8 --kv-cache-dtype fp8",
    "int8": "--dtype bf16 --quant int8",
    "int4": "--dtype bf16 --quant int4",
}
NUM_PROMPTS = 8
MAX_TOKENS = 32
ALONE = ("--max-num-seqs", "4", "--max-num-batched-tokens", "16")  # a request of beams at a time, prompts in pieces


def prompts_of(model: Path) -> list[str]:
    """Lines of --input of `veloz run`."""
    lines = (model / "eval.jsonl").read_text().splitlines()[:NUM_PROMPTS]
    return [line for line in lines if line.strip()]


def agreement(ours: Sequence[Sequence[int]], theirs: Sequence[Sequence[int]]) -> float:
    """Mean share of an answer before its first different token."""
    shares = []
    for a, b in zip(ours, theirs, strict=True):
        same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))
        shares.append(same / max(len(a), len(b), 1))
    return sum(shares) / len(shares)


def answers(
    context: Context, engine: Path, prompts: Path, device: str, log: str, seconds: float, limits: Sequence[str] = ()
) -> list[list[int]]:
    out = prompts.with_suffix(f".{device}.out")
    out.unlink(missing_ok=True)
    flags = ["--input", str(prompts), "--output", str(out), "--max-tokens", str(MAX_TOKENS), "--temperature", "0"]
    outcome = process.run(
        [context.program("veloz"), "run", str(engine), "--device", device, "--ignore-eos", *limits, *flags],
        log=context.log(log),
        timeout_s=seconds,
        env=context.env(),
    )
    if outcome.status != "ok":
        raise RuntimeError(f"run --device {device} {outcome.status}: " + " | ".join(outcome.tail[-4:]))
    return [json.loads(line)["token_ids"] for line in out.read_text().splitlines()]


def compare(context: Context, model: str, precision: str, seconds: float) -> Json:
    name = f"{model}-{precision}"
    directory = context.bundle / "models" / model
    engine = context.work / "engines" / name
    build = [context.program("veloz"), "build", str(directory), "-o", str(engine), "--target", "cuda", "--force"]
    outcome = process.run(
        [*build, *PRECISIONS[precision].split()], log=context.log(name), timeout_s=seconds, env=context.env()
    )
    if outcome.status != "ok":
        return {"status": outcome.status, "error": "veloz build", "tail": outcome.tail}
    prompts = context.work / f"{name}.jsonl"
    prompts.write_text("\n".join(prompts_of(directory)) + "\n")
    result: Json = {"status": "ok"}
    try:
        on_gpu = answers(context, engine, prompts, "cuda", name, seconds)
        alone = answers(context, engine, prompts, "cuda", name, seconds, ALONE)
        on_cpu = answers(context, engine, prompts, "cpu", name, seconds)
    except RuntimeError as error:
        return {"status": "failed", "error": str(error)}
    result["agreement"] = round(agreement(on_gpu, on_cpu), 4)
    result["is_batch_invariant"] = on_gpu == alone
    same = "same alone" if result["is_batch_invariant"] else "OTHER ALONE"
    result["summary"] = f"{100 * result['agreement']:.1f} % of tokens as on the CPU, {same}"
    if not result["is_batch_invariant"] or result["agreement"] < 0.5:
        result["status"] = "failed"
    verify(context, engine, name, seconds, result)
    return result


def verify(context: Context, engine: Path, name: str, seconds: float, result: Json) -> None:
    """Op by op against the references."""
    outcome = process.run(
        [context.program("veloz"), "verify", str(engine), "--device", "cuda"],
        log=context.log(name),
        timeout_s=seconds,
        env=context.env(),
    )
    result["verify"] = outcome.status
    result["verify_table"] = [line.text for line in outcome.lines]
    if outcome.status != "ok":
        result["status"] = "failed"
        result["tail"] = outcome.tail


def steps(_: Context) -> Sequence[Step]:
    def step(model: str, precision: str) -> Step:
        return Step(f"{model} {precision}", lambda context, seconds: compare(context, model, precision, seconds), 90)

    return [step(model, precision) for precision in PRECISIONS for model in MODELS]
