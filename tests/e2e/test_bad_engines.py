# SPDX-License-Identifier: Apache-2.0
"""Damaged engines are refused whole; builds that are killed or run out of disk leave none."""

import os
import resource
import shutil
import signal
import subprocess
import time
import unittest
from pathlib import Path
from typing import Any

from tiny_checkpoint import TinyCheckpoint, tokenizer_json
from veloz_cli import TIMEOUT_S, CliTest

FILES = ["engine.json", "plan.json", "graph.txt", "weights.safetensors", "tokenizer/tokenizer.json"]


class DamagedEngineTest(CliTest):
    def setUp(self) -> None:
        super().setUp()
        model = TinyCheckpoint().write(self.dir / "model")
        (model / "tokenizer.json").write_text(tokenizer_json())
        self.engine = self.build(model)
        self.succeed("run", self.engine, "ab", "--max-tokens", "4")

    def refuse(self, parts: list[str]) -> None:
        """Both by what runs it and by what looks into it."""
        self.fail_with(2, parts, "run", self.engine, "ab", "--max-tokens", "4")
        self.fail_with(2, parts, "inspect", self.engine, "--verify")

    def test_flipped_byte_in_any_file(self) -> None:
        for name in FILES:
            with self.subTest(file=name):
                path = self.engine / name
                whole = path.read_bytes()
                at = len(whole) * 2 // 3
                path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
                self.refuse([str(self.engine), name, "veloz build"])
                path.write_bytes(whole)

    def test_truncated_files(self) -> None:
        for name in FILES:
            with self.subTest(file=name):
                path = self.engine / name
                whole = path.read_bytes()
                path.write_bytes(whole[: len(whole) // 2])
                self.refuse([str(self.engine), name, "veloz build"])
                path.write_bytes(whole)

    def test_missing_files(self) -> None:
        for name in FILES[1:]:
            with self.subTest(file=name):
                path = self.engine / name
                path.rename(self.dir / "kept")
                self.refuse([name, "does not exist"])
                (self.dir / "kept").rename(path)

    def test_newer_engine(self) -> None:
        path = self.engine / "engine.json"
        path.write_text(path.read_text().replace('"format_version": "1.', '"format_version": "9.', 1))
        self.refuse(["engine format 9.", "upgrade veloz"])

    def test_directory_where_a_file_should_be(self) -> None:
        path = self.engine / "plan.json"
        path.unlink()
        path.mkdir()
        self.refuse(["plan.json", "is a directory"])

    def test_what_is_no_engine(self) -> None:
        self.fail_with(2, ["is no engine", "veloz build"], "inspect", self.dir / "model")
        self.fail_with(2, ["does not exist", "veloz build"], "inspect", self.dir / "nothing")
        self.fail_with(2, ["is not a directory"], "inspect", self.engine / "plan.json")

    def test_places_an_engine_cannot_go(self) -> None:
        model = self.dir / "model"
        build: list[str | Path] = ["build", model, "-o"]
        self.fail_with(2, ["holds an engine already", "--force"], *build, self.engine)
        self.fail_with(2, ["exists and is no engine", "remove this one"], *build, model)
        self.fail_with(2, ["is no engine", "remove this one"], *build, model, "--force")
        file = self.dir / "file"
        file.write_text("x")
        self.fail_with(2, ["exists and is not a directory"], *build, file)
        self.fail_with(1, ["cannot create"], *build, file / "engine")
        self.assertEqual(file.read_text(), "x")


class FailingBuildTest(CliTest):
    """A model large enough that its build takes a moment; its weights are made up on the way."""

    def setUp(self) -> None:
        super().setUp()
        checkpoint = TinyCheckpoint()
        checkpoint.config |= {"hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 6}
        checkpoint.config |= {"num_attention_heads": 12, "num_key_value_heads": 12, "vocab_size": 8000}
        self.model = checkpoint.write(self.dir / "model")
        (self.model / "model.safetensors").unlink()
        self.out = self.dir / "out"
        self.out.mkdir()
        self.command: list[str | Path] = ["build", self.model, "-o", self.out / "engine", "--load-format", "dummy"]

    def left_behind(self) -> list[str]:
        return sorted(os.listdir(self.out))

    def build_for(self, seconds: float) -> float | None:
        """Kills a build after that time; how long it took where it had ended."""
        start = time.monotonic()
        process = self.start(*self.command)
        try:
            process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate(timeout=TIMEOUT_S)
        took_s = time.monotonic() - start
        self.assertIn(process.returncode, (0, -signal.SIGKILL))
        if (self.out / "engine").exists():
            self.succeed("inspect", self.out / "engine", "--verify")
            shutil.rmtree(self.out / "engine")
        return took_s if process.returncode == 0 else None

    def test_killed_at_any_moment_no_half_engine_is_left(self) -> None:
        whole_s = self.build_for(TIMEOUT_S)
        assert whole_s is not None
        for share in (0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95):
            # The first build may have been slower than the rest.
            while took_s := self.build_for(whole_s * share):
                whole_s = min(whole_s, took_s)
        self.succeed(*self.command)
        self.succeed("inspect", self.out / "engine", "--verify")
        self.assertEqual(self.left_behind(), ["engine"], "what killed builds left is cleaned up")

    def test_full_disk(self) -> None:
        # A limit on the size of files gives the same errors as a full disk, and needs no privileges.
        def limit_files() -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

        options: dict[str, Any] = {"preexec_fn": limit_files, "restore_signals": False}
        self.fail_with(1, [str(self.out), "File too large", "free some space"], *self.command, **options)
        self.assertEqual(self.left_behind(), [])

    def test_full_disk_behind_the_results(self) -> None:
        with Path("/dev/full").open("w") as full:
            process = self.start("doctor", "--quick", stdout=full)
            err = process.communicate(timeout=TIMEOUT_S)[1]
        self.assertEqual(process.returncode, 1)
        self.assertIn("error: ", err)
        self.assertIn("No space left on device", err)

    def test_directory_that_may_not_be_written(self) -> None:
        command: list[str | Path] = [*self.command[:3], "/proc/engine", *self.command[4:]]
        self.fail_with(1, ["/proc"], *command)


if __name__ == "__main__":
    unittest.main()
