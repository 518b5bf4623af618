# SPDX-License-Identifier: Apache-2.0
"""The kernels' own tests on the GPU, each suite in a process of its own: after a crash the device is lost to it."""

import json
import re
import shutil
from collections.abc import Sequence
from typing import Any

from gpu import process
from gpu.suite import Context, Json, Step

PROGRAM = "test_cuda_device"
SANITIZER = ("compute-sanitizer", "--tool", "memcheck", "--error-exitcode", "9", "--launch-timeout", "60")
SUITE_LIMIT_S = 90
MOST_CRASHES = 4  # of one suite
LONGEST_MESSAGE = 700


def suites(listing: str) -> list[str]:
    """Of --gtest_list_tests: lines that end with "." or hold ".  # TypeParam" are suites, indented ones tests."""
    return [line.split(".")[0] for line in listing.splitlines() if re.match(r"\S+\.(\s|$)", line)]


def steps(context: Context, wrapper: Sequence[str] = ()) -> Sequence[Step]:
    """`wrapper`: what the tests run under."""
    command = [context.program(PROGRAM), "--gtest_list_tests"]
    outcome = process.run(command, log=context.log("correctness-list"), timeout_s=30, env=context.env())
    if outcome.status != "ok":
        raise RuntimeError("\n".join(outcome.tail))
    names = suites("\n".join(line.text for line in outcome.lines))

    def step(suite: str) -> Step:
        return Step(suite, lambda context, seconds: run_suite(context, suite, seconds, wrapper))

    return [step(name) for name in names]


def sanitized_steps(context: Context) -> Sequence[Step]:
    """The same under compute-sanitizer: reads and writes outside of what was allocated. It takes long."""
    tool = shutil.which(SANITIZER[0]) or f"/usr/local/cuda/bin/{SANITIZER[0]}"
    return steps(context, [tool, *SANITIZER[1:]])


def failures(report: Any) -> tuple[int, int, list[Json]]:
    """Tests that ran, were skipped, and failed, of gtest's JSON."""
    num_run, num_skipped, failed = 0, 0, []
    for suite in report.get("testsuites", []):
        for test in suite.get("testsuite", []):
            name = f"{suite['name']}.{test['name']}"
            if test.get("result") == "SKIPPED" or test.get("status") == "NOTRUN":
                num_skipped += 1
                continue
            num_run += 1
            if test.get("failures"):
                failed.append({"test": name, "message": test["failures"][0]["failure"][:LONGEST_MESSAGE]})
    return num_run, num_skipped, failed


def run_suite(context: Context, suite: str, seconds: float, wrapper: Sequence[str] = ()) -> Json:
    num_run, num_skipped, failed = 0, 0, list[Json]()
    seen: list[str] = []  # tests of this suite that have run, where a crash cut it short
    slug = suite.replace("/", "_")
    tail: list[str] = []
    for attempt in range(MOST_CRASHES + 1):
        report = context.work / f"gtest-{slug}-{attempt}.json"
        report.unlink(missing_ok=True)
        flags = [f"--gtest_filter={suite}.*" + ("-" + ":".join(seen) if seen else ""), f"--gtest_output=json:{report}"]
        outcome = process.run(
            [*wrapper, context.program(PROGRAM), *flags],
            log=context.log(f"correctness-{slug}"),
            timeout_s=min(SUITE_LIMIT_S, seconds),
            env=context.env(),
        )
        if report.exists():
            more_run, more_skipped, more_failed = failures(json.loads(report.read_text()))
            num_run, num_skipped, failed = num_run + more_run, num_skipped + more_skipped, failed + more_failed
            if outcome.status != "ok" and not more_failed:
                failed.append({"test": f"{suite}.*", "message": f"{outcome.status}, exit code {outcome.exit_code}"})
                tail = outcome.tail
            break
        tail = outcome.tail
        begun = [line.text for line in outcome.lines if line.text.startswith("[ RUN ")]
        names = [text.split("]")[1].strip() for text in begun]
        bad = {
            line.text.split("]")[1].split(",")[0].split(" (")[0].strip()
            for line in outcome.lines
            if "[  FAILED  ]" in line.text
        }
        num_run += len(names)
        failed += [{"test": name, "message": "fails"} for name in names[:-1] if name in bad]
        last = names[-1] if names else f"{suite}.*"
        failed.append({"test": last, "message": f"{outcome.status}, exit code {outcome.exit_code}"})
        seen += names
        if not names:
            break
    ok = num_run > 0 and not failed
    summary = f"{num_run - len(failed)} of {num_run} passed" + (f", {num_skipped} skipped" if num_skipped else "")
    result: Json = {"status": "ok" if ok else "failed", "summary": summary, "run": num_run, "skipped": num_skipped}
    if failed:
        result["failed"] = failed
        result["tail"] = [f"{item['test']}: {item['message']}" for item in failed[:12]] + tail
    return result
