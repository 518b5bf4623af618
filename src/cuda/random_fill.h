// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "cuda/stream.h"

/// Random operands, made on the device: for timing (zeros and constants switch fewer transistors
/// and make a GPU faster than real weights do) and for tests. The same seed gives the same numbers.
namespace veloz::cuda {

/// About normal, mean 0, never beyond 3.5 deviations. `dtype` is fp32, bf16 or fp8_e4m3.
void fill_normal(CudaStream& stream, void* data, DType dtype, int64_t num_elements, uint64_t seed,
                 float deviation) noexcept;
/// Evenly in [low, high).
void fill_uniform(CudaStream& stream, float* data, int64_t num_elements, uint64_t seed, float low,
                  float high) noexcept;

}  // namespace veloz::cuda
