// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace veloz::cuda {

/// Whether rows from `data` on, `stride_bytes` apart, all begin at multiples of 16 bytes.
inline bool is_aligned_16(const void* data, int64_t stride_bytes) {
  return (reinterpret_cast<uintptr_t>(data) | static_cast<uintptr_t>(stride_bytes)) % 16 == 0;
}

}  // namespace veloz::cuda
