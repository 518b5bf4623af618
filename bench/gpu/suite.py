# SPDX-License-Identifier: Apache-2.0
"""Parts made of steps: what runs, for how long, and the one file that says what came of it."""

import contextlib
import datetime
import json
import os
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from gpu import device

Json = dict[str, Any]
LEAST_STEP_S = 4.0  # nothing begins with less left


@dataclass
class Results:
    """The JSON file, written after every step."""

    path: Path
    data: Json
    lock: Lock = field(default_factory=Lock)

    @staticmethod
    def open(path: Path, revision: str) -> "Results":
        data: Json = {"format": 1, "date": "", "revision": revision, "machine": {}, "calls": [], "parts": {}}
        if path.exists():
            data |= json.loads(path.read_text())
            if revision:
                data["revision"] = revision
        data["date"] = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
        return Results(path, data)

    def part(self, name: str) -> Json:
        part: Json = self.data["parts"].setdefault(name, {"status": "begun", "steps": {}})
        return part

    def step(self, part: str, name: str) -> Json:
        step: Json = self.part(part)["steps"].get(name, {})
        return step

    def put(self, part: str, name: str, result: Json) -> None:
        with self.lock:
            self.part(part)["steps"][name] = result | {"revision": self.data["revision"]}
            self._write()

    def write(self) -> None:
        with self.lock:
            self._write()

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(self.data, indent=1) + "\n")
        os.replace(new, self.path)


@dataclass
class Context:
    """What steps need: where the programs are, where files may go, and what was found before."""

    bundle: Path
    work: Path
    results: Results
    sampler: device.Sampler

    def program(self, name: str) -> str:
        return str(self.bundle / "bin" / name)

    def log(self, name: str) -> Path:
        return self.work / "logs" / f"{name}.log"

    def env(self) -> dict[str, str]:
        env = dict(os.environ)
        paths = [str(self.bundle / "lib")]
        if cublaslt := device.find_cublaslt():
            env["VELOZ_CUBLASLT"] = str(cublaslt.parent)
            paths.append(str(cublaslt.parent))
        env["LD_LIBRARY_PATH"] = ":".join([*paths, env.get("LD_LIBRARY_PATH", "")]).rstrip(":")
        env["XDG_CACHE_HOME"] = str(self.work / "cache")
        return env


@dataclass(frozen=True)
class Step:
    """`run(context, seconds)` gives what is stored; "status" of it is "ok", "partial" or what went wrong. What is not
    "ok" runs again in a later call; what was found before is in the results still."""

    name: str
    run: Callable[[Context, float], Json]
    limit_s: float = 600


@dataclass(frozen=True)
class Part:
    name: str
    budget_s: float
    steps: Callable[[Context], Sequence[Step]]
    at_once: int = 1


def run_step(context: Context, part: Part, step: Step, deadline: float) -> Json:
    seconds = min(step.limit_s, deadline - time.monotonic())
    if seconds < LEAST_STEP_S:
        return {"status": "pending"}
    start = time.monotonic()
    try:
        result = step.run(context, seconds)
    except Exception as error:  # one step's fault is no other's
        result = {"status": "failed", "error": repr(error), "tail": traceback.format_exc().splitlines()[-8:]}
    result["seconds"] = round(time.monotonic() - start, 1)
    context.results.put(part.name, step.name, result)
    report(part, step, result)
    return result


def report(part: Part, step: Step, result: Json) -> None:
    line = f"  {part.name}/{step.name}: {result['status']} in {result['seconds']} s"
    if summary := result.get("summary"):
        line += f": {summary}"
    print(line, flush=True)
    if result["status"] != "ok":
        for text in [*filter(None, [result.get("error")]), *result.get("tail", [])]:
            print(f"    | {text}", flush=True)


def run_part(context: Context, part: Part, deadline: float) -> None:
    start = time.monotonic()
    stored = context.results.part(part.name)
    stored["gpu_before"] = device.query("clocks.sm,clocks.mem,temperature.gpu,power.draw")
    try:
        steps = list(part.steps(context))
    except Exception as error:
        steps = []
        stored["error"] = repr(error)
        print(f"  {part.name}: {error!r}", flush=True)
    todo = [step for step in steps if context.results.step(part.name, step.name).get("status") != "ok"]
    with ThreadPoolExecutor(part.at_once) as executor:
        list(executor.map(lambda step: run_step(context, part, step, deadline), todo))
    statuses = [context.results.step(part.name, step.name).get("status", "pending") for step in steps]
    stored["status"] = "done" if steps and all(status == "ok" for status in statuses) else "partial"
    stored["num_steps"] = len(steps)
    stored["num_ok"] = statuses.count("ok")
    stored["seconds"] = round(stored.get("seconds", 0) + time.monotonic() - start, 1)
    stored["gpu_after"] = device.query("clocks.sm,clocks.mem,temperature.gpu,power.draw,clocks_event_reasons.active")
    context.results.write()
    print(f"{part.name}: {stored['num_ok']} of {len(steps)} steps ok, {time.monotonic() - start:.0f} s", flush=True)


def run_parts(context: Context, parts: Sequence[Part], budget_s: float) -> bool:
    """Whether all parts are done."""
    start = time.monotonic()
    call: Json = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "parts": [part.name for part in parts],
        "budget_s": budget_s,
    }
    context.results.data["calls"].append(call)
    for part in parts:
        now = time.monotonic()
        if context.results.data["parts"].get(part.name, {}).get("status") == "done":
            print(f"{part.name}: done before", flush=True)
            continue
        left = start + budget_s - now
        if left < LEAST_STEP_S:
            print(f"{part.name}: no time is left", flush=True)
            continue
        print(f"{part.name}: up to {min(part.budget_s, left):.0f} s", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            run_part(context, part, now + min(part.budget_s, left))
        call["seconds"] = round(time.monotonic() - start, 1)
        context.results.write()
    context.results.write()
    return all(context.results.data["parts"].get(part.name, {}).get("status") == "done" for part in parts)
