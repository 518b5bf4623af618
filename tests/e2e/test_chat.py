# SPDX-License-Identifier: Apache-2.0
"""`veloz chat`, the ends of a run that is interrupted, and `--help`."""

import json
import os
import re
import signal
import subprocess
import time
import unittest
from pathlib import Path

from veloz_cli import MODELS, TIMEOUT_S, CliTest, bundled_models, read_jsonl

VERBS = ["build", "run", "chat", "inspect", "doctor"]
TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}Summary:"
GREEDY = ["--num-beams", "1", "--temperature", "0", "--max-tokens", "16"]
ENDLESS = ["--num-beams", "1", "--temperature", "0", "--ignore-eos", "--max-tokens", "1000"]


def wait_for_handler(process: subprocess.Popen[str]) -> None:
    """Until the process catches SIGINT itself: from then on it generates."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        status = Path(f"/proc/{process.pid}/status").read_text()
        caught = int(status.split("SigCgt:")[1].split()[0], 16)
        if caught >> (signal.SIGINT - 1) & 1:
            return
        time.sleep(0.005)
    raise AssertionError("the process never came to generating")


class ChatTest(CliTest):
    def chat_models(self) -> list[Path]:
        """Bundled models with a chat template, and one that is given one here."""
        model = self.dir / "gptj-chat"
        model.mkdir()
        for file in (MODELS / "tiny-gptj").iterdir():
            (model / file.name).symlink_to(file)
        config = json.loads((model / "tokenizer_config.json").read_text())
        (model / "tokenizer_config.json").unlink()
        (model / "tokenizer_config.json").write_text(json.dumps(config | {"chat_template": TEMPLATE}))
        own = [m for m in bundled_models() if "chat_template" in (m / "tokenizer_config.json").read_text()]
        own += [path.parent for path in MODELS.glob("*/chat_template.jinja")]
        return [model, *sorted(set(own))]

    def test_answers_one_message(self) -> None:
        for model in self.chat_models():
            with self.subTest(model=model.name):
                engine = self.build(model, model.name + ".engine")
                text = self.succeed("chat", engine, "--prompt", "Hello there", *GREEDY, "--stats")
                self.assertIn("tokens/s", text.err)
                answer = self.succeed("chat", engine, "--prompt", "Hello there", *GREEDY, "--json").json()
                self.assertEqual(answer["text"] + "\n", text.out)

    def test_remembers_the_turns_before(self) -> None:
        engine = self.build(self.chat_models()[0])
        flags = [*GREEDY, "--json", "--system", "Be brief"]
        turns = read_jsonl(self.succeed("chat", engine, *flags, stdin="Hello there\nAnd you?\n").out)
        self.assertEqual(len(turns), 2)
        messages = [
            {"role": "system", "content": "Be brief"},
            {"role": "user", "content": "Hello there"},
            {"role": "assistant", "content": turns[0]["text"]},
            {"role": "user", "content": "And you?"},
        ]
        source = self.write_jsonl("in.jsonl", [{"messages": messages[:2]}, {"messages": messages}])
        expected = read_jsonl(self.succeed("run", engine, "--input", source, *GREEDY).out)
        self.assertEqual([a["token_ids"] for a in turns], [a["token_ids"] for a in expected])

    def test_model_without_a_template(self) -> None:
        self.fail_with(2, ["no chat template", "veloz run"], "chat", self.gptj_engine(), "--prompt", "x")


class InterruptTest(CliTest):
    def interrupt(self, *args: str | Path) -> tuple[str, str, int]:
        process = self.start(*args)
        wait_for_handler(process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=TIMEOUT_S)
        return out, err, process.returncode

    def interrupt_stream(self, engine: Path) -> tuple[str, str, int]:
        """With a signal when its first text is there."""
        process = self.start("run", engine, "The team", *ENDLESS)
        assert process.stdout is not None
        # Unbuffered, so that nothing is hidden from communicate().
        first = os.read(process.stdout.fileno(), 64).decode()
        process.send_signal(signal.SIGINT)
        rest, err = process.communicate(timeout=TIMEOUT_S)
        return first + rest, err, process.returncode

    def test_ctrl_c_ends_a_stream_with_what_there_is(self) -> None:
        engine = self.gptj_engine()
        whole = self.succeed("run", engine, "The team", *ENDLESS).out
        for _ in range(20):  # the end may come before the signal
            out, err, code = self.interrupt_stream(engine)
            if code == 1 and len(out) < len(whole):
                break
        self.assertEqual(code, 1, err)
        self.assertIn("interrupted: the output is not complete", err)
        self.assertTrue(out.endswith("\n"))
        self.assertTrue(whole.startswith(out[:-1]))
        self.assertLess(len(out), len(whole))

    def test_ctrl_c_reaches_beam_search_which_has_no_text_yet(self) -> None:
        beams = ["--num-beams", "8", "--ignore-eos", "--max-tokens", "1000"]
        out, err, code = self.interrupt("run", self.gptj_engine(), "The team", *beams, "--json")
        self.assertEqual(code, 1, err)
        self.assertEqual(json.loads(out)["finish_reason"], "cancelled")

    def test_ctrl_c_leaves_a_jsonl_file_with_a_line_for_each_prompt(self) -> None:
        # So many that the last ones are still waiting when the signal comes.
        source = self.write_jsonl("in.jsonl", [{"prompt": "The team"}] * 800)
        target = self.dir / "out.jsonl"
        _, err, code = self.interrupt("run", self.gptj_engine(), "--input", source, "--output", target, *ENDLESS)
        self.assertEqual(code, 1, err)
        reasons = [answer["finish_reason"] for answer in read_jsonl(target.read_text())]
        self.assertEqual(len(reasons), 800)
        self.assertLessEqual(set(reasons), {"cancelled", "length"})
        self.assertEqual(reasons[-1], "cancelled")


class HelpTest(CliTest):
    def test_every_verb_shows_an_example_whose_flags_exist(self) -> None:
        helps = {verb: self.succeed(verb, "--help").out for verb in VERBS}
        for verb, text in helps.items():
            with self.subTest(verb=verb):
                examples = [line.strip() for line in text.split("Example:")[1].splitlines() if "veloz " in line]
                self.assertTrue(examples)
                for example in examples:
                    used = example.split()[1]
                    for flag in re.findall(r"(?<= )--?[a-z][a-z-]*", example):
                        self.assertRegex(helps[used], rf"(?m)(^|[ ,]){flag}\b", example)

    def test_help_of_the_program_names_every_verb_and_the_exit_codes(self) -> None:
        text = self.succeed("--help").out
        for part in [*VERBS, "Example:", "0 fine", "1 the job failed", "2 wrong usage"]:
            self.assertIn(part, text)

    def test_version(self) -> None:
        self.assertRegex(self.succeed("--version").out, r"^veloz \d+\.\d+\.\d+\n$")


if __name__ == "__main__":
    unittest.main()
