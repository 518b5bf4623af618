# SPDX-License-Identifier: Apache-2.0
"""scripts/cuda-resources on logs as ptxas writes them."""

import importlib.util
import sys
import unittest
from importlib.machinery import SourceFileLoader
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/cuda-resources"
loader = SourceFileLoader("cuda_resources", str(SCRIPT))
spec = importlib.util.spec_from_loader("cuda_resources", loader)
assert spec is not None
resources = importlib.util.module_from_spec(spec)
sys.modules["cuda_resources"] = resources  # dataclasses look themselves up there
loader.exec_module(resources)
Kernel = resources.Kernel

LOG = """ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_ZN5veloz4cuda55_GLOBAL__N__0000_6_add_cu_000010add_kernelIfEEvPKT_S4_PS2_l' for 'sm_90a'
ptxas info    : Function properties for _ZN5veloz4cuda55_GLOBAL__N__0000_6_add_cu_000010add_kernelIfEEvPKT_S4_PS2_l
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 16 registers, used 0 barriers, 416 bytes cmem[0]
ptxas info    : Compile time = 5.123 ms
ptxas info    : Compiling entry function 'second' for 'sm_90a'
ptxas info    : Function properties for second
    16 bytes stack frame, 8 bytes spill stores, 4 bytes spill loads
ptxas info    : Used 168 registers, used 1 barriers, 1024 bytes smem, 416 bytes cmem[0]
"""


class CudaResourcesTest(unittest.TestCase):
    def test_a_log_gives_each_kernels_figures(self) -> None:
        kernels, warnings = resources.parse("add.cu", LOG)
        self.assertEqual(warnings, [])
        self.assertEqual([kernel.registers for kernel in kernels], [16, 168])
        self.assertEqual(kernels[1], Kernel("add.cu", "second", 168, 1024, 12, 16))

    def test_spills_and_stack_frames_are_faults(self) -> None:
        kernels, warnings = resources.parse("add.cu", LOG)
        (fault,) = resources.faults(kernels, warnings)
        self.assertIn("second spills 12 bytes, its stack frame has 16", fault)

    def test_whatever_ptxas_warns_of_is_a_fault(self) -> None:
        for line in (
            "ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async instructions are serialized due to x",
            "ptxas info    : (C7508) setmaxnreg ignored to maintain minimum register requirements",
            "ptxas warning : Registers are spilled to local memory in function 'f'",
        ):
            _, warnings = resources.parse("a.cu", LOG + line + "\n")
            self.assertEqual(len(warnings), 1, line)

    def test_names_lose_what_every_kernel_has(self) -> None:
        for name, short in (
            (
                "void veloz::cuda::(anonymous namespace)::add_kernel<float>(float const*, float*, long)",
                "add_kernel<float>",
            ),
            ("veloz::cuda::(anonymous namespace)::plain(int)", "plain"),
            ("void veloz::cuda::(anonymous namespace)::k<veloz::cuda::Bf16, (int)4>(veloz::cuda::Args)", "k<Bf16, 4>"),
            ("void veloz::cuda::k<veloz::cuda::Heads<(int)8, (bool)1> >(int)", "k<Heads<8, 1>>"),
            (
                "void veloz::cuda::(anonymous namespace)::n<float, (veloz::cuda::Norm)1, (int)-2>(int)",
                "n<float, 1, -2>",
            ),
        ):
            self.assertEqual(resources.shorten(name), short)

    def test_the_table_reads_back(self) -> None:
        kernels = [Kernel("b.cu", "k<Bf16, 4>", 40, 1024, 0), Kernel("a.cu", "add_kernel<float>", 16, 0, 0)]
        text = resources.table(kernels, "nvcc 13.0.88")
        self.assertIn("by nvcc 13.0.88:", text)
        self.assertEqual(resources.read_table(text), sorted(kernels))

    def test_more_registers_or_shared_memory_and_unknown_kernels_are_told(self) -> None:
        known = [Kernel("a.cu", name, 32, 64, 0) for name in ("more", "less", "shared", "gone")]
        now = [
            Kernel("a.cu", "more", 33, 64, 0),
            Kernel("a.cu", "less", 31, 64, 0),
            Kernel("a.cu", "shared", 32, 65, 0),
            Kernel("a.cu", "new", 8, 0, 0),
        ]
        found = "\n".join(resources.differences(now, known))
        self.assertIn("more takes 33 registers, 32 before", found)
        self.assertIn("shared takes 65 bytes of shared memory, 64 before", found)
        self.assertIn("new is not in the table", found)
        self.assertIn("gone is in the table only", found)
        self.assertNotIn("less", found)


if __name__ == "__main__":
    unittest.main()
