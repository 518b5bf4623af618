# SPDX-License-Identifier: Apache-2.0
"""Programs that may hang: each runs in a process group of its own, which is killed at the end of its time."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

TAIL_LINES = 25
LONGEST_LINE = 400
GRACE_S = 3.0  # between asking and killing


@dataclass(frozen=True)
class Line:
    at: float  # time.monotonic()
    text: str


@dataclass
class Outcome:
    """status: "ok", "failed" (exit_code says how), "timeout" or "silent" (no line for too long)."""

    status: str
    exit_code: int | None
    seconds: float
    lines: list[Line] = field(default_factory=list)  # of stdout
    tail: list[str] = field(default_factory=list)  # the last lines of both outputs


def kill_group(process: "subprocess.Popen[str]") -> None:
    for number, wait_s in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, GRACE_S)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(wait_s)
            if number == signal.SIGTERM:
                continue  # children may have stayed
            return


def tail_of(log: Path) -> list[str]:
    if not log.exists():
        return []
    lines = log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
    return [line[:LONGEST_LINE] for line in lines]


def run(
    command: Sequence[str],
    *,
    log: Path,
    timeout_s: float,
    silence_s: float | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Outcome:
    """`silence_s`: how long a program may give no line on stdout."""
    log.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    lines: list[Line] = []
    with log.open("a") as file:
        file.write("$ " + " ".join(command) + "\n")
        file.flush()
        try:
            process = subprocess.Popen(
                list(command),
                stdout=subprocess.PIPE,
                stderr=file,
                stdin=subprocess.DEVNULL,
                text=True,
                errors="replace",
                env=dict(env) if env is not None else None,
                cwd=cwd,
                start_new_session=True,
            )
        except OSError as error:
            return Outcome("failed", None, 0, tail=[str(error)])

        def read() -> None:
            assert process.stdout is not None
            with process.stdout as stdout:
                for text in stdout:
                    lines.append(Line(time.monotonic(), text.rstrip("\n")))
                    file.write(text)
                    file.flush()

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        status = wait_for(process, lines, start, timeout_s, silence_s)
        if status:
            kill_group(process)
        reader.join(GRACE_S)
    code = process.poll()
    return Outcome(
        status or ("ok" if code == 0 else "failed"), code, time.monotonic() - start, list(lines), tail_of(log)
    )


def wait_for(
    process: "subprocess.Popen[str]", lines: Sequence[Line], start: float, timeout_s: float, silence_s: float | None
) -> str:
    """Why it must be killed, or nothing where it ended."""
    while True:
        try:
            process.wait(0.05)
            return ""
        except subprocess.TimeoutExpired:
            now = time.monotonic()
            if now - start > timeout_s:
                return "timeout"
            last = lines[-1].at if lines else start
            if silence_s is not None and now - last > silence_s:
                return "silent"
