// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "cuda/cudnn/sdpa_shape.h"
#include "ops/attention.h"

namespace veloz::cuda {

/// Attention by a library beside our own kernels. It belongs to one CUDA stream, which hands it to
/// the kernel that asks (CudaStream::library_attention), and to that stream's thread.
class LibraryAttention {
 public:
  virtual ~LibraryAttention() = default;
  /// Compiles what a shape needs, but for its number of entries and columns: seconds. Returns why
  /// it cannot, the first time that it is asked, else nothing.
  virtual std::string prepare(const SdpaShape& shape) = 0;
  /// Whether `run` of this shape will do: plans it, which takes milliseconds, if it is the first.
  virtual bool has_plan(const SdpaShape& shape) noexcept = 0;
  /// Enqueues attention of the entries in `chunks` (write_chunks) on the stream. False where the
  /// library fails: then nothing was enqueued.
  virtual bool run(const ops::PagedAttentionArgs& args, const SdpaShape& shape,
                   const int32_t* chunks) noexcept = 0;
};

}  // namespace veloz::cuda
