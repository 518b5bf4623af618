# SPDX-License-Identifier: Apache-2.0
"""Fails where an object file compiled for an instruction set defines a weak symbol.

An inline function compiled with -mavx512f could be the copy that the linker keeps for everyone,
also on processors without it. Usage: check_isa_objects.py NM OBJECT_DIRECTORY
"""

import subprocess
import sys
from pathlib import Path

ISA_FOLDERS = ("avx2", "avx2_vnni", "avx512", "avx512_vnni", "avx512_bf16")
# nm's letters of weak and unique definitions; "w" and "v" are weak references, which define nothing.
WEAK = {"W", "V", "u"}
# A pointer to the runtime's personality routine, the same data in every object.
HARMLESS = "DW.ref."


def weak_symbols(nm: str, object_file: Path) -> list[str]:
    listing = subprocess.run(
        [nm, "--defined-only", "--demangle", str(object_file)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    symbols = []
    for line in listing.splitlines():
        fields = line.split(maxsplit=2)
        if len(fields) == 3 and fields[1] in WEAK and not fields[2].startswith(HARMLESS):
            symbols.append(fields[2])
    return symbols


def main() -> int:
    nm, directory = sys.argv[1], Path(sys.argv[2])
    objects = [path for folder in ISA_FOLDERS for path in sorted(directory.glob(f"**/{folder}/*.o"))]
    if not objects:
        print(f"no object files of {', '.join(ISA_FOLDERS)} under {directory}; is it built?")
        return 1
    failed = False
    for path in objects:
        for symbol in weak_symbols(nm, path):
            print(f"{path.relative_to(directory)}: weak definition of {symbol}")
            failed = True
    if failed:
        print("use intrinsics and functions in anonymous namespaces only (see src/cpu/gemm_loop.h)")
    else:
        print(f"{len(objects)} object files define no weak symbol")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
