// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/dtype.h"

namespace veloz::checkpoint {

/// Values that are no finite number, counted after conversion.
struct NonFinite {
  int64_t num_nan = 0;
  int64_t num_inf = 0;
};

/// Converts elements among fp32, fp16 and bf16 (to: fp32 or bf16), rounding to nearest even. fp32
/// and fp16 have values that bf16 rounds; fp16 fits fp32 exactly. `from` and `to` hold the same
/// number of elements and do not overlap.
NonFinite convert(DType from_dtype, std::span<const std::byte> from, DType to_dtype,
                  std::span<std::byte> to);

}  // namespace veloz::checkpoint
