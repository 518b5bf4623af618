# SPDX-License-Identifier: Apache-2.0
"""What README shows is what there is: its C++ is the example's, its commands have flags that exist."""

import re
import unittest

from veloz_cli import MODELS, CliTest

ROOT = MODELS.parent


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


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
        commands = [
            line.split("#")[0].split()
            for block in code_blocks("")
            for line in block.splitlines()
            if line.startswith("veloz ")
        ]
        self.assertGreaterEqual(len(commands), 5)
        for _, verb, *arguments in commands:
            text = self.succeed(verb, "--help").out
            for flag in (argument for argument in arguments if argument.startswith("-")):
                self.assertRegex(text, rf"(?m)(^|[ ,]){flag}\b", f"{verb} {flag}")


if __name__ == "__main__":
    unittest.main()
