// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <vector>

#include "base/device.h"

namespace veloz::cuda {

struct CudnnOptions {
  /// Where libcudnn.so.9 is looked for before the system's places: the toolkit's lib64, or
  /// nvidia/cudnn/lib of a Python environment.
  std::vector<std::filesystem::path> directories = {"/usr/local/cuda/lib64"};

  /// With the place beside cuBLASLt, which a Python environment has in nvidia/cu13/lib, and the
  /// directory itself, before the others; "": nothing more.
  static CudnnOptions beside(const std::filesystem::path& cublaslt_directory) {
    CudnnOptions options;
    if (cublaslt_directory.empty()) return options;
    options.directories.insert(
        options.directories.begin(),
        {cublaslt_directory, cublaslt_directory / ".." / ".." / "cudnn" / "lib"});
    return options;
  }
};

/// Gives a CUDA stream cuDNN for the kernel "paged_attention/cudnn". Where there is none, or it
/// does not start, the stream gets its reason in the library's place (MissingAttention).
void attach_cudnn(Stream& stream, const CudnnOptions& options) noexcept;

}  // namespace veloz::cuda
