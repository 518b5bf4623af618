// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace veloz::checkpoint {

/// What a value may be, both ends included.
template <typename T>
struct Range {
  T low;
  T high;
};

// Every limit on what a configuration may say: far beyond any model there is, and small enough
// that the products of sizes fit 64 bits.
inline constexpr uint64_t kMaxConfigBytes = uint64_t{16} << 20;

inline constexpr Range<int64_t> kHiddenSizes{1, int64_t{1} << 20};
inline constexpr Range<int64_t> kIntermediateSizes{1, int64_t{1} << 23};
inline constexpr Range<int64_t> kLayerCounts{1, 4096};
inline constexpr Range<int64_t> kHeadCounts{1, int64_t{1} << 14};
inline constexpr Range<int64_t> kHeadDims{2, 4096};
inline constexpr Range<int64_t> kVocabSizes{1, int64_t{1} << 24};
inline constexpr Range<int64_t> kPositions{1, int64_t{1} << 28};
inline constexpr Range<int64_t> kTokenIds{-1, kVocabSizes.high};  // -1: some write "none" so
inline constexpr Range<double> kNormEpsilons{1e-20, 1};
inline constexpr Range<double> kRopeThetas{1e-3, 1e12};
inline constexpr Range<double> kRopeFactors{1e-6, 1e6};

inline constexpr Range<int64_t> kTokenCounts{0, kPositions.high};
inline constexpr Range<int64_t> kTopKs{-1, kVocabSizes.high};  // -1: off, as vLLM writes it
inline constexpr Range<int64_t> kBeamCounts{1, 1024};
inline constexpr Range<double> kTemperatures{0, 1e4};
inline constexpr Range<double> kTopPs{1e-9, 1};
inline constexpr Range<double> kMinPs{0, 1};
inline constexpr Range<double> kPenalties{1e-6, 1e6};
inline constexpr Range<double> kLengthPenalties{-1e3, 1e3};

}  // namespace veloz::checkpoint
