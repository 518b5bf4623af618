#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What each recipe of `veloz quantize` makes of the bundled models, on all questions of their evaluation sets.

    make demo && python3 bench/quantize_recipes.py --veloz build/release/veloz

Results are a matter of arithmetic, not of speed: they are the same on every machine with the same instruction set.
"""

import argparse
import datetime
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from peers.machine import cpu_name
from serving_peer import ROOT

GROUPS_OF_32 = ["--group-size", "32"]
RECIPES: list[list[str]] = [
    ["fp8"],
    ["fp8-rowwise"],
    ["int8"],
    ["int8-smoothquant"],
    ["int4-awq", *GROUPS_OF_32],
    ["int4-awq", *GROUPS_OF_32, "--activations", "int8"],
    ["int4-gptq", *GROUPS_OF_32],
    ["int4-gptq", *GROUPS_OF_32, "--activations", "int8"],
    ["int4", *GROUPS_OF_32],
    ["int4-tensor"],
    ["auto", *GROUPS_OF_32],
]


def quantize(veloz: Path, model: Path, recipe: list[str], directory: Path) -> dict[str, Any]:
    command = [
        str(veloz),
        "quantize",
        str(model),
        "-o",
        str(directory / "out"),
        "--force",
        "--json",
        "--recipe",
        *recipe,
    ]
    report: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return report


def line_of(report: dict[str, Any]) -> dict[str, Any]:
    gate = report["gate"]
    return {
        "verdict": report["verdict"],
        "bytes_ratio": report["stored_bytes"] / report["original_bytes"],
        "task": gate["task"],
        "num_items": gate["answers"]["num_items"],
        "checks": [{key: check[key] for key in ("name", "value", "reference")} for check in gate["checks"]],
        "perplexity": gate["text"]["perplexity"],
        "reference_perplexity": gate["reference_text"]["perplexity"],
        "mean_kl": gate["agreement"]["mean_kl"],
        "top1": gate["agreement"]["top1"],
        "worst_output_error": max((linear["output_error"] for linear in report["linears"]), default=0) ** 0.5,
        "worst_snr_db": min((linear["weight_snr_db"] for linear in report["linears"]), default=None),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Verdicts of all recipes on the bundled models.")
    parser.add_argument("--veloz", type=Path, default=ROOT / "build/release/veloz")
    parser.add_argument("--output", type=Path, help="JSONL; absent: bench/results/DATE-quantize-recipes.jsonl")
    arguments = parser.parse_args()
    today = datetime.date.today().isoformat()
    version = subprocess.run(
        [arguments.veloz, "--version"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()
    lines = []
    for model in sorted(path.parent for path in ROOT.glob("models/*/config.json")):
        for recipe in RECIPES:
            with tempfile.TemporaryDirectory() as directory:
                line = line_of(quantize(arguments.veloz, model, recipe, Path(directory)))
            head = {"bench": "quantize_recipes", "date": today, "machine": cpu_name(), "versions": {"veloz": version}}
            lines.append(json.dumps(head | {"model": model.name, "recipe": " ".join(recipe)} | line))
            print(f"{model.name} {' '.join(recipe)}: {line['verdict']}", flush=True)
    output = arguments.output or ROOT / "bench/results" / f"{today}-quantize-recipes.jsonl"
    output.write_text("\n".join(lines) + "\n")
    print(f"wrote {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
