# SPDX-License-Identifier: Apache-2.0
"""Matrix products of 8192 x 8192 x 8192 through PyTorch, on random numbers; one JSON object a line."""

import json
import statistics
import sys
from collections.abc import Callable
from typing import Any

SIZE = 8192


def seconds_of(torch: Any, run: Callable[[], Any]) -> float:
    for _ in range(5):
        run()
    times: list[float] = []
    for _ in range(15):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run()
        end.record()
        end.synchronize()
        times.append(float(begin.elapsed_time(end)) / 1e3)
    return statistics.median(times)


def main() -> int:
    try:
        import torch  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        print(f"no PyTorch: {error}", file=sys.stderr)
        return 1
    a, b = (torch.randn(SIZE, SIZE, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    a8, b8 = a.to(torch.float8_e4m3fn), b.to(torch.float8_e4m3fn)
    one = torch.ones((), device="cuda")

    def product_fp8() -> Any:
        return torch._scaled_mm(a8, b8.t(), scale_a=one, scale_b=one, out_dtype=torch.bfloat16, use_fast_accum=True)

    for name, run in (("bf16", lambda: a @ b.t()), ("fp8", product_fp8)):
        seconds = seconds_of(torch, run)
        line = {
            "name": f"torch {name}",
            "size": SIZE,
            "tflops": 2 * SIZE**3 / seconds / 1e12,
            "torch": torch.__version__,
        }
        print(json.dumps(line), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
