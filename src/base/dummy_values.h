// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"

namespace veloz {

/// How the elements of a dummy weight are made. Element i depends on (kind, dtype, scale, key, i)
/// alone, so devices make the same bytes, in any order.
struct DummyValues {
  enum class Kind : uint8_t {
    constant,  // scale
    uniform,   // on (-scale, scale); of int8 and uint4x2 all codes alike, whatever the scale
    index,     // i
  };
  Kind kind = Kind::constant;
  DType dtype = DType::fp32;
  float scale = 0;
  uint64_t key = 0;  // of the uniform ones: seed and weight
};

/// 64 random bits for elements 4 * group to 4 * group + 3, 16 each, the lowest first: the finalizer
/// of splitmix64 (Steele et al., "Fast Splittable Pseudorandom Number Generators", 2014).
constexpr uint64_t dummy_bits(uint64_t key, uint64_t group) {
  uint64_t z = key + (group + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

/// 16 random bits as a number on (-1, 1).
constexpr float dummy_uniform(uint32_t bits) {
  return static_cast<float>(bits) * 0x1.0p-15f - (1.0f - 0x1.0p-16f);
}

/// 16 random bits as a code from -127 to 127.
constexpr int dummy_code(uint32_t bits) { return static_cast<int>(bits * 255u >> 16) - 127; }

/// Elements [first, first + count) at `to`, in memory of the host.
void write_dummy_values(const DummyValues& values, int64_t first, int64_t count, std::byte* to);

}  // namespace veloz
