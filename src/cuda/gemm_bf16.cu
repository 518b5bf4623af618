// SPDX-License-Identifier: Apache-2.0
#include "cuda/gemm_launch.h"

namespace veloz::cuda {

bool launch_bf16_gemm(CudaStream& stream, const GemmTile& tile, const GemmCall& call) noexcept {
  return launch_gemm<Bf16Math>(stream, tile, call);
}

}  // namespace veloz::cuda
