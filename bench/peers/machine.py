# SPDX-License-Identifier: Apache-2.0
"""What the comparisons with peers share."""

import re
from collections.abc import Sequence
from pathlib import Path


def cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"


def percentile(values: Sequence[float], rank: float) -> float:
    """Between the two nearest values, as numpy's default interpolates; rank is in [0, 100]."""
    ordered = sorted(values)
    place = rank / 100 * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def portable_command(words: Sequence[str]) -> str:
    """A command line without this machine's places: of absolute paths only the last component is left."""
    return " ".join(re.sub(r"(^|[=,])/[^,]*/", r"\1", word) for word in words)
