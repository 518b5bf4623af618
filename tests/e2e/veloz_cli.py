# SPDX-License-Identifier: Apache-2.0
"""Runs the `veloz` binary for tests: paths from the environment, a private cache, whole output kept."""

import json
import os
import shutil
import subprocess
import tempfile
import unittest
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BINARY = Path(os.environ["VELOZ_BINARY"])
MODELS = Path(os.environ["VELOZ_MODELS_DIR"])
TIMEOUT_S = float(os.environ.get("VELOZ_COMMAND_TIMEOUT_S", "120"))


def bundled_models() -> list[Path]:
    """The trained models that come with the project, in Hugging Face layout."""
    return sorted(path.parent for path in MODELS.glob("*/config.json"))


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


class CliTest(unittest.TestCase):
    """A temporary directory and a private engine cache for each test."""

    def setUp(self) -> None:
        self.dir = Path(tempfile.mkdtemp(prefix="veloz-e2e-"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        # What a developer has set must not change the tests.
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("VELOZ_")}
        self.env |= {"XDG_CACHE_HOME": str(self.dir / "cache"), "VELOZ_THREADS": "2"}

    def start(self, *args: str | Path, **options: Any) -> subprocess.Popen[str]:
        options = {"env": self.env, "cwd": self.dir, "text": True, "encoding": "utf-8"} | options
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        return subprocess.Popen([BINARY, *args], **options)

    def veloz(self, *args: str | Path, stdin: str = "", env: dict[str, str] | None = None, **options: Any) -> Result:
        process = self.start(*args, stdin=subprocess.PIPE, env=self.env | (env or {}), **options)
        out, err = process.communicate(stdin, timeout=TIMEOUT_S)
        return Result(process.returncode, out, err)

    def succeed(self, *args: str | Path, **options: Any) -> Result:
        result = self.veloz(*args, **options)
        self.assertEqual(result.code, 0, result.err)
        return result

    def fail_with(self, code: int, parts: list[str], *args: str | Path, **options: Any) -> Result:
        """The command ends with this code, with all of `parts` in `error: ...` and `hint: ...` on stderr."""
        result = self.veloz(*args, **options)
        self.assertEqual(result.code, code, f"{args}: {result.err}")
        lines = result.err.splitlines()
        self.assertTrue(any(line.startswith("error: ") for line in lines), result.err)
        self.assertTrue(any(line.startswith("hint: ") for line in lines), f"no hint: {result.err}")
        for part in parts:
            self.assertIn(part, result.err)
        return result

    def build(self, model: Path, name: str = "engine", *flags: str) -> Path:
        engine = self.dir / name
        self.succeed("build", model, "-o", engine, *flags)
        return engine

    def gptj_engine(self) -> Path:
        return self.build(MODELS / "tiny-gptj")

    def write_jsonl(self, name: str, lines: list[dict[str, Any]]) -> Path:
        path = self.dir / name
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path


def read_jsonl(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def files_of(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
