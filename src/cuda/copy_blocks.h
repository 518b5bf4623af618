// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "cuda/stream.h"

namespace veloz::cuda {

/// Device::copy_blocks: a launch for many pairs, which travel as its arguments. `block_bytes` is a
/// multiple of 4.
void copy_blocks(CudaStream& stream, void* base, size_t block_bytes,
                 std::span<const std::pair<int32_t, int32_t>> pairs) noexcept;

}  // namespace veloz::cuda
