// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <vector>

#include "base/device.h"
#include "cuda/library_use.h"

namespace veloz::cuda {

struct CublasLtOptions {
  /// Where libcublasLt.so.13 is looked for before the system's places: the toolkit's lib64, or
  /// nvidia/cu13/lib of a Python environment.
  std::vector<std::filesystem::path> directories = {"/usr/local/cuda/lib64"};
  std::filesystem::path tuning_directory;  // of tuned algorithms; empty: none are kept
  size_t workspace_bytes = size_t{64} << 20;
  /// Where all may go to it, sums of fp8 codes stay in the tensor cores' precision: a few per cent
  /// faster, errors ten times as large.
  LibraryUse use = LibraryUse::same_bits;
};

/// Throws Error(unsupported) where there is no such library.
void require_cublaslt(const CublasLtOptions& options);

/// Gives a CUDA stream cuBLASLt for the kernels "linear/cublaslt" and "quantized_linear/cublaslt",
/// which tune it as they prepare. Throws Error(unsupported) where there is no such library.
void attach_cublaslt(Stream& stream, const CublasLtOptions& options);

}  // namespace veloz::cuda
