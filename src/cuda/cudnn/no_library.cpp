// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include "cuda/cudnn/attach.h"
#include "cuda/cudnn/missing.h"
#include "cuda/stream.h"

/// Of a program that was built without cuDNN's headers.
namespace veloz::cuda {

void attach_cudnn(Stream& stream, const CudnnOptions&) noexcept {
  static_cast<CudaStream&>(stream).set_library_attention(
      std::make_shared<MissingAttention>("this program was built without cuDNN's headers"));
}

}  // namespace veloz::cuda
