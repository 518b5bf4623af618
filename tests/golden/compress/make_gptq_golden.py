# SPDX-License-Identifier: Apache-2.0
"""Writes gptq.json: what GPTQ (arXiv:2210.17323) makes of small random weights, from its formulas.

    python tests/golden/compress/make_gptq_golden.py tests/golden/compress/gptq.json

Column by column in fp64, with the whole inverse Hessian updated after each column as in the paper's equations 2 and 3: none of
the shortcuts (Cholesky, blocks) that the implementation takes. A seed whose values come near a rounding boundary is passed
over, so that fp32 must give the same codes. NumPy 2.4.6 wrote the committed file.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MARGIN = 2e-3  # of a code, to the nearest rounding boundary


@dataclass(frozen=True)
class Case:
    """One weight and how it is rounded."""

    rows: int
    columns: int
    group: int
    damping: float
    act_order: bool


CASES = (
    Case(rows=5, columns=32, group=32, damping=0.01, act_order=False),
    Case(rows=5, columns=32, group=32, damping=0.01, act_order=True),
    Case(rows=3, columns=160, group=32, damping=0.01, act_order=True),
    Case(rows=2, columns=36, group=0, damping=0.1, act_order=True),
)


def scales_of(w: Array, group: int) -> Array:
    """Scales of symmetric 4-bit groups, [rows, groups], as fp32 holds them."""
    parts = w.reshape(w.shape[0], -1, group if group else w.shape[1])
    return (np.abs(parts).max(axis=2).astype(np.float32) / np.float32(7)).astype(np.float64)


def gptq(w: Array, hessian: Array, case: Case) -> tuple[Array, float]:
    """Codes -8 ... 7, and the smallest distance of any value to a rounding boundary."""
    w = w.copy()
    group = case.group or case.columns
    scales = np.repeat(scales_of(w, case.group), group, axis=1)
    codes = np.zeros_like(w)
    damped = hessian + case.damping * np.diag(hessian).mean() * np.eye(case.columns)
    order = np.argsort(-np.diag(hessian), kind="stable") if case.act_order else np.arange(case.columns)
    left = [int(column) for column in order]
    inverse = np.linalg.inv(damped)
    margin = 1.0
    for column in order:
        scaled = w[:, column] / scales[:, column]
        codes[:, column] = np.clip(np.rint(scaled), -8, 7)
        margin = min(margin, float(np.abs(np.abs(scaled - np.floor(scaled)) - 0.5).min()))
        error = (w[:, column] - codes[:, column] * scales[:, column]) / inverse[column, column]
        left.remove(int(column))
        w[:, left] -= np.outer(error, inverse[column, left])
        inverse -= np.outer(inverse[:, column], inverse[column, :]) / inverse[column, column]
    return codes, margin


def make(case: Case, seed: int) -> dict[str, object]:
    while True:
        rng = np.random.default_rng(seed)
        # Small integers, which fp32 sums exactly and JSON holds briefly.
        w = np.rint(64 * rng.standard_normal((case.rows, case.columns)))
        mix = rng.standard_normal((case.columns, case.columns)) / np.sqrt(case.columns)
        x = rng.standard_normal((case.columns + 16, case.columns)) @ (np.eye(case.columns) + mix)
        x = np.rint(4 * x * np.exp(rng.standard_normal(case.columns) / 2))  # channels of different size
        codes, margin = gptq(w, x.T @ x, case)
        if margin > MARGIN:
            break
        seed += 1
    return {
        "rows": case.rows, "columns": case.columns, "group": case.group, "damping": case.damping,
        "act_order": case.act_order, "seed": seed, "w": [int(v) for v in w.ravel()],
        "x": [int(v) for v in x.ravel()], "codes": [int(v) for v in codes.ravel()],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out: Path = parser.parse_args().out
    cases = [make(case, 1000 * i) for i, case in enumerate(CASES)]
    out.write_text(json.dumps({"cases": cases}, separators=(",", ":")) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
