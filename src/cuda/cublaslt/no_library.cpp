// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"
#include "cuda/cublaslt/attach.h"

/// Of a program that was built without CUDA.
namespace veloz::cuda {

void require_cublaslt(const CublasLtOptions&) {
  throw Error(ErrorKind::unsupported, "no cuBLASLt: this program was built without CUDA",
              "build with nvcc (cmake --preset cuda)");
}

void attach_cublaslt(Stream&, const CublasLtOptions& options) { require_cublaslt(options); }

}  // namespace veloz::cuda
