# SPDX-License-Identifier: Apache-2.0
"""What `veloz plan` says of a model of 1.1 billion weights is what `veloz serve` and `veloz profile` then show."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

BINARY = Path(os.environ["VELOZ_BINARY"])
START_S = 300
MEMORY_TOLERANCE = 0.02
SPEED_TOLERANCE = 0.15
MOST_ROUNDS = 4
BETWEEN = ("sampling_ms", "host_ms")  # of the time between two steps, what is not the step's own
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "dtype": "bfloat16",
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 22,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "vocab_size": 32000,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-05,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
}


def run(*arguments: str | Path) -> str:
    return subprocess.run([BINARY, *arguments], check=True, capture_output=True, text=True).stdout


def resident_bytes(process: subprocess.Popen[str]) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def wait_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    url = re.search(r"listens on (http://\S+)", process.stdout.readline())
    assert url is not None
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"{url[1]}/readyz"):
                return
        except urllib.error.HTTPError:
            time.sleep(0.2)
    raise AssertionError("the server is not ready")


class PlanTest(unittest.TestCase):
    dir: Path

    @classmethod
    def setUpClass(cls) -> None:
        cls.dir = Path(tempfile.mkdtemp(prefix="veloz-plan-"))
        cls.addClassCleanup(shutil.rmtree, cls.dir, ignore_errors=True)
        (cls.dir / "model").mkdir()
        (cls.dir / "model" / "config.json").write_text(json.dumps(CONFIG))
        run("build", cls.dir / "model", "-o", cls.dir / "engine", "--load-format", "dummy", "--dtype", "bf16")

    def test_memory_is_what_a_ready_server_holds(self) -> None:
        for flags in ([], ["--max-num-seqs", "8"], ["--kv-cache-memory-bytes", str(600 << 20)]):
            with self.subTest(flags=flags):
                planned = json.loads(run("plan", self.dir / "model", "--json", *flags))["memory"]["total_bytes"]
                with subprocess.Popen(
                    [BINARY, "serve", self.dir / "engine", "--port", "0", *flags],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                ) as server:
                    try:
                        wait_ready(server)
                        held = resident_bytes(server)
                    finally:
                        server.kill()
                print(f"{flags}: planned {planned / 2**20:.0f} MiB, held {held / 2**20:.0f} MiB")
                self.assertGreater(held, 1 << 30)
                self.assertLess(abs(planned - held), MEMORY_TOLERANCE * held)

    def predicted_and_measured(self) -> list[tuple[dict[str, Any], float, float]]:
        """Of each phase, milliseconds of a step."""
        # Limits of the same minute: what else runs on the machine must not count against the model.
        profile = json.loads(run("profile", self.dir / "engine", "--json"))
        peaks = profile["peaks"]
        given = {"dram_read": peaks["dram_read_gb_per_s"]}
        given |= {key.removesuffix("_gop_per_s"): value for key, value in peaks.items() if key.endswith("_gop_per_s")}
        flags = ["--peaks", ",".join(f"{name}={value}" for name, value in given.items())]
        plan: list[dict[str, Any]] = json.loads(run("plan", self.dir / "engine", "--json", *flags))["speed"]
        steps = []
        for predicted, measured in zip(plan, profile["phases"], strict=True):
            what = {key: predicted[key] for key in ("phase", "batch_size", "new_tokens", "context")}
            self.assertEqual(what, {key: measured[key] for key in what})
            between = measured["between_steps"] or {"sampling_ms": 0, "host_ms": 0}
            steps.append((what, predicted["step_ms"], measured["step_ms"] + sum(between[key] for key in BETWEEN)))
        return steps

    def test_speed_is_what_a_profile_measures(self) -> None:
        # A shared machine's memory can be half as fast again between the seconds that measure its limit and those that
        # measure a step: a round that misses is tried again, and one must be right in every phase.
        for _ in range(MOST_ROUNDS):
            missed = []
            for what, predicted, measured in self.predicted_and_measured():
                step = f"{what}: predicted {predicted:.1f} ms, measured {measured:.1f} ms"
                print(step)
                if abs(predicted - measured) >= SPEED_TOLERANCE * measured:
                    missed.append(step)
            if not missed:
                return
        self.fail("\n".join(missed))


if __name__ == "__main__":
    unittest.main()
