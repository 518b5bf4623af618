# SPDX-License-Identifier: Apache-2.0
"""Peaks and speeds of single kernels, by veloz_bench_cuda_kernels and veloz_bench_cuda_gemm."""

import json
from collections.abc import Sequence
from pathlib import Path

from gpu import process
from gpu.suite import Context, Json, Step

DEVICE_LOST = 3  # exit code of veloz_bench_cuda_kernels
MOST_RESTARTS = 8
RESERVE_S = 3.0
ROWS = "add_rms_norm_fp8,gated_act_fp8,rope_append,rope,kv_append,quantize,layer_norm_fp8,act_fp8,rms_norm,add_rms_norm_int8,add"


def parse_rows(text: str) -> list[Json]:
    """JSON lines, one JSON list, or one object that may hold a list of rows; other lines are passed over."""
    try:
        whole = json.loads(text)
    except json.JSONDecodeError:
        whole = None
    if isinstance(whole, list):
        return [row for row in whole if isinstance(row, dict)]
    if isinstance(whole, dict):
        lists = [value for value in whole.values() if isinstance(value, list) and value and isinstance(value[0], dict)]
        return lists[0] if lists else [whole]
    rows = []
    for line in text.splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def kernel_bench(context: Context, part: str, name: str, only: str, seconds: float) -> Json:
    """Goes on behind cases that lost the device or hung, and where an earlier call stopped."""
    before = context.results.step(part, name)
    first = int(before.get("next_case", 0))
    rows: list[Json] = [row for row in before.get("rows", []) if row.get("case", first) < first]
    status = "ok"
    tail: list[str] = []
    left = seconds
    for _ in range(MOST_RESTARTS):
        budget = f"--budget-seconds={max(left - 2 * RESERVE_S, 1):.0f}"
        outcome = process.run(
            [context.program("veloz_bench_cuda_kernels"), f"--only={only}", f"--first-case={first}", budget],
            log=context.log(name),
            timeout_s=left,
            env=context.env(),
        )
        rows += parse_rows("\n".join(line.text for line in outcome.lines))
        left -= outcome.seconds
        cases = [row["case"] for row in rows if "case" in row]
        if outcome.exit_code != DEVICE_LOST or not cases:
            status = outcome.status
            tail = outcome.tail if status != "ok" else []
            break
        first = max(cases) + 1
        if left < 3 * RESERVE_S:
            status = "partial"
            break
    errors = [f"{row.get('shape', '')}: {row['error']}" for row in rows if "error" in row]
    stopped = [row["case"] for row in rows if row.get("bench") == "stopped"]
    if status == "ok" and stopped:
        status = "partial"
    if status == "ok" and errors:
        status = "failed"
    measured = [row for row in rows if "median_us" in row]
    summary = f"{len(measured)} cases" + (f", {len(errors)} failed" if errors else "")
    result: Json = {"status": status, "summary": summary, "rows": rows, "tail": errors[:12] + tail}
    if status == "partial":
        result["next_case"] = stopped[0] if stopped else first
    return result


def bandwidth(context: Context, seconds: float) -> Json:
    result = kernel_bench(context, "peaks", "bandwidth", "none", seconds)
    for row in result["rows"]:
        if row.get("bench") == "peaks":
            result["summary"] = f"copy {row['copy_gb_per_s']:.0f} GB/s, read {row['read_gb_per_s']:.0f} GB/s"
    return result


def gemm_bench(context: Context, name: str, seconds: float, *flags: str) -> Json:
    out = context.work / f"{name}.json"
    out.unlink(missing_ok=True)
    budget = f"{max(seconds - 2 * RESERVE_S, 1):.0f}"
    outcome = process.run(
        [context.program("veloz_bench_cuda_gemm"), "--json", str(out), "--budget-seconds", budget, *flags],
        log=context.log(name),
        timeout_s=seconds,
        env=context.env(),
    )
    rows = parse_rows(out.read_text()) if out.exists() else []
    if not rows:
        rows = parse_rows("\n".join(line.text for line in outcome.lines))
    status = outcome.status if outcome.status == "ok" or not rows else "partial"
    return {"status": status, "summary": f"{len(rows)} rows", "rows": rows, "tail": outcome.tail}


def torch_peaks(context: Context, seconds: float) -> Json:
    """The same library through PyTorch, where there is one: what our own figures are held against."""
    python = next((p for p in ("/opt/torch/.venv/bin/python3", "/usr/bin/python3") if Path(p).exists()), "python3")
    script = Path(__file__).with_name("torch_peaks.py")
    outcome = process.run([python, str(script)], log=context.log("torch"), timeout_s=seconds)
    rows = parse_rows("\n".join(line.text for line in outcome.lines))
    summary = ", ".join(f"{row['name']} {row['tflops']:.0f} TFLOP/s" for row in rows if "tflops" in row)
    return {"status": outcome.status, "summary": summary, "rows": rows, "tail": outcome.tail}


def peak_steps(context: Context) -> Sequence[Step]:
    return [
        Step("bandwidth", bandwidth, 40),
        Step("gemm", lambda context, seconds: gemm_bench(context, "gemm-quick", seconds, "--quick"), 45),
        Step("torch", torch_peaks, 45),
    ]


def gemm_steps(context: Context) -> Sequence[Step]:
    return [Step("sweep", lambda context, seconds: gemm_bench(context, "gemm", seconds))]


def bench_step(part: str, name: str, only: str) -> Step:
    return Step(name, lambda context, seconds: kernel_bench(context, part, name, only, seconds))


def attention_steps(context: Context) -> Sequence[Step]:
    return [bench_step("attention", "decode", "decode,decode_beams"), bench_step("attention", "prefill", "prefill")]


def row_steps(context: Context) -> Sequence[Step]:
    return [bench_step("rows", "rows", ROWS), bench_step("rows", "sample", "sample")]
