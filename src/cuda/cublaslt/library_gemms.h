// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "cuda/cublaslt/autotune.h"
#include "cuda/cublaslt/gemm.h"

namespace veloz::cuda {

/// Where a product's operands lie on the device; strides in elements between rows.
struct GemmOperands {
  const void* x = nullptr;  // [T, K]
  int64_t x_stride = 0;
  const void* w = nullptr;  // [N, K]
  int64_t w_stride = 0;
  const float* x_scales = nullptr;  // as Gemm::scaling says
  const float* w_scales = nullptr;
  void* y = nullptr;  // [T, N]
  int64_t y_stride = 0;
};

/// Products by a library beside our own kernels. It belongs to one CUDA stream, which hands it to
/// the kernels that ask (CudaStream::library), and to that stream's thread. Whether the last bits
/// of its results may differ from our kernels' is settled where it is made (LibraryUse).
class LibraryGemms {
 public:
  virtual ~LibraryGemms() = default;
  /// Enqueues the product on the stream. False where the library cannot, or may not: then nothing
  /// was enqueued. Never allocates on the device or waits for it, so that it may be captured in a
  /// graph; which algorithm runs was settled by `tune`, and where it was not, is the library's
  /// first guess if bits may differ.
  virtual bool run(const Gemm& gemm, const GemmOperands& operands) noexcept = 0;
  /// Times the library's algorithms for these products at their buckets of tokens, but for those
  /// already known, and keeps the fastest; where bits may not differ, the fastest of those that
  /// have our kernels', or our kernel. Takes up to 600 MiB of the device while it runs, so it
  /// belongs before the KV cache is laid out; not during a capture.
  virtual TuneReport tune(std::span<const Gemm> gemms) = 0;
};

}  // namespace veloz::cuda
