// SPDX-License-Identifier: Apache-2.0
#include "cuda/gemm_launch.h"

namespace veloz::cuda {

bool launch_fp8_gemm(CudaStream& stream, const GemmTile& tile, const GemmCall& call) noexcept {
  return launch_gemm<Fp8Math>(stream, tile, call);
}

}  // namespace veloz::cuda
