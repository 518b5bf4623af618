// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "base/error.h"

namespace veloz {

/// Integer conversion that must not change the value; a bug (Error internal) where it would.
template <typename To, typename From>
To narrow(From value) {
  VELOZ_CHECK(std::in_range<To>(value), "value {} does not fit the narrower type", value);
  return static_cast<To>(value);
}

/// a * b, or nothing where it overflows: for sizes that come from a file.
inline std::optional<uint64_t> try_multiply(uint64_t a, uint64_t b) {
  uint64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }
constexpr size_t round_up(size_t a, size_t b) { return (a + b - 1) / b * b; }

}  // namespace veloz
