// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include "base/tensor_view.h"

namespace veloz::compress {

/// Magnitudes of a stream of values in equal bins; where a value lies beyond, neighbouring bins are
/// merged and the range doubles, so nothing is read twice. NaN are not counted. The result depends
/// on the values alone, not on their order, as long as all ranges are powers of two apart.
class MagnitudeHistogram {
 public:
  static constexpr int kNumBins = 2048;

  /// Every element of a matrix [T, K] fp32.
  void add(const TensorView& x);

  uint64_t count() const { return count_; }
  float amax() const { return amax_; }
  /// The upper edge of the first bin up to which `share` (0 to 1) of the values lie, at most amax.
  float percentile(double share) const;
  /// The largest magnitude of a fp8_e4m3 range with the smallest squared error: values beyond are
  /// cut off, others rounded. At most amax.
  float best_fp8_range() const;

 private:
  void cover(float magnitude);
  float upper_edge(int bin) const { return width_ * static_cast<float>(bin + 1); }

  std::array<uint64_t, kNumBins> bins_{};
  float width_ = 0;  // of one bin, a power of two; 0: nothing but zeros so far
  uint64_t count_ = 0;
  float amax_ = 0;
};

}  // namespace veloz::compress
