# SPDX-License-Identifier: Apache-2.0
"""What the GPU says of itself. Everything here only reads."""

import ctypes
import glob
import os
import platform
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

QUERY = (
    "name,driver_version,memory.total,power.limit,power.draw,temperature.gpu,clocks.sm,clocks.mem,clocks.max.sm,"
    "clocks.max.mem,clocks_event_reasons.active,ecc.mode.current,pstate,mig.mode.current"
)
CUBLASLT = "libcublasLt.so.13"
TOOLKITS = ("/usr/local/cuda", "/usr/local/cuda-13.0", "/usr/local/cuda-13")
PYTHONS = ("/opt/torch/.venv", sys.prefix, "/usr/local", "/usr")
SAMPLE_S = 0.1


def output_of(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def query(fields: str = QUERY) -> dict[str, str]:
    """Of GPU 0; fields that this driver does not know are left out."""
    values = output_of("nvidia-smi", "-i", "0", f"--query-gpu={fields}", "--format=csv,noheader").split(", ")
    names = fields.split(",")
    if len(values) == len(names):
        return dict(zip(names, values, strict=True))
    found = {name: output_of("nvidia-smi", "-i", "0", f"--query-gpu={name}", "--format=csv,noheader") for name in names}
    return {name: value for name, value in found.items() if value}


def find_cublaslt(toolkits: Iterable[str] = TOOLKITS, pythons: Iterable[str] = PYTHONS) -> Path | None:
    """The toolkit's, or the one that came with a Python package."""
    patterns = [f"{root}/{lib}/{CUBLASLT}" for root in toolkits for lib in ("lib64", "targets/x86_64-linux/lib")]
    for root in pythons:
        patterns += [
            f"{root}/lib*/python3*/{packages}/nvidia/*/lib/{CUBLASLT}"
            for packages in ("site-packages", "dist-packages")
        ]
    for pattern in patterns:
        if found := sorted(glob.glob(pattern)):
            return Path(found[0])
    return None


def machine() -> dict[str, Any]:
    nvcc = next((f"{root}/bin/nvcc" for root in TOOLKITS if Path(f"{root}/bin/nvcc").exists()), "nvcc")
    release = re.search(r"release (\S+), (\S+)", output_of(nvcc, "--version"))
    cublaslt = find_cublaslt()
    return {
        "gpu": query(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "nvcc": release[2] if release else "",
        "cublaslt": cublaslt.resolve().name if cublaslt else "",
    }


class _Utilization(ctypes.Structure):
    _fields_ = [("gpu", ctypes.c_uint), ("memory", ctypes.c_uint)]


@dataclass(frozen=True)
class Sample:
    at: float  # time.monotonic()
    power_w: float
    busy_percent: float  # of the driver's last sampling period, during which a kernel ran
    sm_mhz: float


class Nvml:
    """The few calls that are needed, of GPU 0. Raises OSError where there is no NVML."""

    def __init__(self) -> None:
        self._lib = ctypes.CDLL("libnvidia-ml.so.1")
        self._handle = ctypes.c_void_p()
        self._check("nvmlInit_v2")
        self._check("nvmlDeviceGetHandleByIndex_v2", 0, ctypes.byref(self._handle))

    def _check(self, name: str, *arguments: object) -> None:
        if code := getattr(self._lib, name)(*arguments):
            raise OSError(f"{name} says {code}")

    def sample(self) -> Sample:
        power, clock, utilization = ctypes.c_uint(), ctypes.c_uint(), _Utilization()
        self._check("nvmlDeviceGetPowerUsage", self._handle, ctypes.byref(power))
        self._check("nvmlDeviceGetUtilizationRates", self._handle, ctypes.byref(utilization))
        self._check("nvmlDeviceGetClockInfo", self._handle, 1, ctypes.byref(clock))  # 1: the multiprocessors'
        return Sample(time.monotonic(), power.value / 1e3, utilization.gpu, clock.value)


class Sampler:
    """Samples in a thread of its own, from `with` to its end. Where nothing can be sampled, windows are empty."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Sampler":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(2)

    def _run(self) -> None:
        try:
            nvml = Nvml()
            while not self._stop.wait(SAMPLE_S):
                self.samples.append(nvml.sample())
        except (OSError, AttributeError):
            return

    def window(self, begin: float, end: float) -> dict[str, float]:
        """Means over a time, and its energy."""
        inside = [sample for sample in self.samples if begin <= sample.at <= end]
        if not inside:
            return {}
        count = len(inside)
        power_w = sum(sample.power_w for sample in inside) / count
        return {
            "power_w": round(power_w, 1),
            "joules": round(power_w * (end - begin), 1),
            "busy_percent": round(sum(sample.busy_percent for sample in inside) / count, 1),
            "sm_mhz": round(sum(sample.sm_mhz for sample in inside) / count),
            "lowest_sm_mhz": min(sample.sm_mhz for sample in inside),
        }
