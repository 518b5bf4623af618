# SPDX-License-Identifier: Apache-2.0
"""What README and docs show is what there is: the C++ is the example's, commands have flags that exist."""

import re
import unittest

from veloz_cli import MODELS, CliTest

ROOT = MODELS.parent
UNITS = {"KiB": 1024, "MiB": 1024**2, "Mi": 1024**2, "s": 1}
WORDS = {"from free memory": "0", "the engine's": "0"}


def plain(default: str) -> str:
    """As --help has it: "16 MiB" is 16777216."""
    found = re.fullmatch(r"(\d+) (\w+)", default)
    return str(int(found[1]) * UNITS[found[2]]) if found else WORDS.get(default, default)


def code_blocks(language: str, page: str = "README.md") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[list[str]]:
    """The words of each line that runs the program."""
    lines = [line for block in code_blocks("", page) for line in block.splitlines() if line.startswith("veloz ")]
    return [line.split("#")[0].rstrip("& ").split() for line in lines]


class ReadmeTest(CliTest):
    def test_cpp_is_that_of_the_example(self) -> None:
        blocks = code_blocks("cpp")
        self.assertEqual(len(blocks), 1)
        example = [line.strip() for line in (ROOT / "examples" / "generate.cpp").read_text().splitlines()]
        position = 0
        for line in filter(None, map(str.strip, blocks[0].splitlines())):
            self.assertIn(line, example[position:])
            position = example.index(line, position) + 1

    def test_commands_have_verbs_and_flags_that_exist(self) -> None:
        for page in "README.md", "docs/benchmarking.md", "docs/evaluation.md", "docs/quantization.md":
            found = commands(page)
            self.assertGreaterEqual(len(found), 3, page)
            for _, verb, *arguments in found:
                verbs = [verb, arguments[0]] if verb == "bench" else [verb]
                text = self.succeed(*verbs, "--help").out
                for flag in (argument for argument in arguments if argument.startswith("-")):
                    self.assertRegex(text, rf"(?m)(^|[ ,]){flag}\b", f"{page}: {verb} {flag}")

    def test_the_tables_of_serving_name_flags_with_their_defaults(self) -> None:
        text = self.succeed("serve", "--help").out
        page = (ROOT / "docs" / "serving.md").read_text()
        for flag in re.findall(r"`(--[a-z-]+)", page):
            self.assertRegex(text, rf"(?m)^  [a-z,-]*{flag}\b")
        rows = re.findall(r"(?m)^\|(?:[^|\n]*\|)? (`--[^|]*) \| ([^|]*) \|", page)
        num_compared = 0
        for names, cell in rows:
            flags = re.findall(r"`(--[a-z-]+)`", names)
            defaults = cell.split(", ")
            for flag, default in zip(flags, defaults * (len(flags) // len(defaults)), strict=True):
                shown = re.search(rf"(?m)^  [a-z,-]*{flag}\b.*=(\S+) \(Env", text)
                if shown is not None:
                    self.assertEqual(plain(default), shown[1], flag)
                    num_compared += 1
        self.assertGreaterEqual(num_compared, 20)


if __name__ == "__main__":
    unittest.main()
