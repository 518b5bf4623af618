// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace veloz::cpu {

/// What scales of weights are stored as.
enum class ScaleType : uint8_t { fp32, bf16, fp16 };

constexpr int64_t bytes_of(ScaleType type) { return type == ScaleType::fp32 ? 4 : 2; }

}  // namespace veloz::cpu
