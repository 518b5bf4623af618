# SPDX-License-Identifier: Apache-2.0
"""Holds every #include of src/ against the table of rooms, and every source file against the build's lists."""

import re
import sys
from pathlib import Path

INCLUDE = re.compile(r'^\s*#include "([a-z_]+)/')


def read_table(path: Path) -> dict[str, set[str]]:
    """Rooms and what each may include, from lines `room: a b c`."""
    table: dict[str, set[str]] = {}
    for line in path.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            room, _, allowed = line.partition(":")
            table[room.strip()] = set(allowed.split())
    return table


def find_violations(src: Path) -> list[str]:
    table = read_table(src / "rooms.txt")
    problems: list[str] = []
    for path in sorted(src.rglob("*")):
        if path.suffix not in {".h", ".cpp", ".cu", ".cuh"}:
            continue
        room = path.relative_to(src).parts[0]
        if room not in table:
            problems.append(f"{path}: folder {room} is not in rooms.txt")
            continue
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            match = INCLUDE.match(line)
            if match and match[1] in table and match[1] != room and match[1] not in table[room]:
                problems.append(f"{path}:{number}: {room} may not include {match[1]}")
    return problems


def find_unlisted(src: Path) -> list[str]:
    problems: list[str] = []
    for room in sorted(p for p in src.iterdir() if (p / "CMakeLists.txt").exists()):
        lists = [room / "CMakeLists.txt", *sorted(room.glob("*.cmake"))]
        listed = set(re.findall(r"[\w./]+", "\n".join(path.read_text() for path in lists)))
        for path in sorted(room.rglob("*")):
            if path.suffix in {".h", ".cpp", ".cu", ".cuh"} and str(path.relative_to(room)) not in listed:
                problems.append(f"{path}: not listed in {room / 'CMakeLists.txt'}")
    return problems


def main() -> int:
    src = Path(sys.argv[1])
    problems = find_violations(src) + find_unlisted(src)
    print("\n".join(problems) if problems else "every include keeps to the table of rooms")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
