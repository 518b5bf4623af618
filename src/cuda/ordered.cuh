// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cuda/gpu.h"
#include "cuda/numeric.h"

/// Scores as integers that compare as the ops on logits ask.
namespace veloz::cuda {

/// Ascends with x; both zeros are one, NaN is 0 and below everything.
__device__ inline uint32_t ordered_bits(float x) {
  constexpr uint32_t kSign = 0x80000000u;
  const auto bits = bit_cast<uint32_t>(x);
  if (x != x) return 0;
  if (bits == kSign) return kSign;
  return (bits & kSign) != 0 ? ~bits : bits | kSign;
}
constexpr uint32_t kMinusInfinityBits = 0x007fffffu;  // ordered
constexpr uint32_t kPlusInfinityBits = 0xff800000u;

/// A score and the index it stands at: the greater is the better, among equal scores the lower
/// index. 0 is none's, so it marks what does not take part.
using Rank = uint64_t;
constexpr Rank kNoRank = 0;
constexpr Rank kLowestRank = 1;
constexpr Rank kAboveAllRanks = ~Rank{0};

__device__ inline Rank rank_of(float score, uint32_t index) {
  return static_cast<Rank>(ordered_bits(score)) << 32 | static_cast<uint32_t>(~index);
}
__device__ inline uint32_t bits_of(Rank rank) { return static_cast<uint32_t>(rank >> 32); }
__device__ inline uint32_t index_of(Rank rank) { return ~static_cast<uint32_t>(rank); }

/// Of ordered bits other than NaN's.
__device__ inline float score_of(uint32_t bits) {
  constexpr uint32_t kSign = 0x80000000u;
  return bit_cast<float>((bits & kSign) != 0 ? bits & ~kSign : ~bits);
}

}  // namespace veloz::cuda
