// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cuda/stream.h"

namespace veloz::cuda {

/// Sets *is_found, a word on the device, to 1 where any of `num_words` differs between `a` and `b`;
/// else leaves it.
void find_difference(CudaStream& stream, const uint32_t* a, const uint32_t* b, int64_t num_words,
                     uint32_t* is_found) noexcept;

}  // namespace veloz::cuda
