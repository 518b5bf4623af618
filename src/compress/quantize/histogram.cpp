// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/histogram.h"

#include <algorithm>
#include <cmath>

#include "base/fp8.h"
#include "compress/quantize/weight_grid.h"

namespace veloz::compress {

void MagnitudeHistogram::cover(float magnitude) {
  if (width_ == 0) {
    // The smallest power of two whose bins reach `magnitude`; zeros counted before lie in bin 0.
    width_ = std::max(std::exp2(std::ceil(std::log2(magnitude / kNumBins))), 0x1p-126f);
  }
  while (magnitude >= width_ * kNumBins && width_ < 0x1p116f) {
    for (size_t i = 0; i < kNumBins / 2; ++i) bins_[i] = bins_[2 * i] + bins_[2 * i + 1];
    std::fill(bins_.begin() + kNumBins / 2, bins_.end(), 0);
    width_ *= 2;
  }
}

void MagnitudeHistogram::add(const TensorView& x) {
  for (int64_t t = 0; t < x.shape[0]; ++t) {
    const float* const row = x.row<const float>(t);
    for (int64_t k = 0; k < x.shape[1]; ++k) {
      const float magnitude = std::abs(row[k]);
      if (std::isnan(magnitude)) continue;
      ++count_;
      amax_ = std::max(amax_, magnitude);
      if (magnitude == 0) {
        ++bins_[0];
        continue;
      }
      if (magnitude >= width_ * kNumBins) cover(magnitude);
      const auto bin = static_cast<int>(std::min(magnitude / width_, kNumBins - 1.0f));
      ++bins_[static_cast<size_t>(bin)];
    }
  }
}

float MagnitudeHistogram::percentile(double share) const {
  const double wanted = share * static_cast<double>(count_);
  uint64_t seen = 0;
  for (int i = 0; i < kNumBins; ++i) {
    seen += bins_[static_cast<size_t>(i)];
    if (static_cast<double>(seen) >= wanted) return std::min(upper_edge(i), amax_);
  }
  return amax_;
}

float MagnitudeHistogram::best_fp8_range() const {
  if (amax_ == 0) return 0;
  double best_error = -1;
  float best = amax_;
  for (int i = 0; i < kRangeParts; ++i) {
    const float range = amax_ * range_part(i);
    const float scale = range / Fp8E4M3::kMax;
    double error = 0;
    for (int bin = 0; bin < kNumBins; ++bin) {
      const float middle = upper_edge(bin) - width_ / 2;
      const double off = static_cast<double>(middle) -
                         static_cast<double>(static_cast<float>(Fp8E4M3(middle / scale)) * scale);
      error += static_cast<double>(bins_[static_cast<size_t>(bin)]) * off * off;
    }
    if (best_error >= 0 && error >= best_error) continue;
    best_error = error;
    best = range;
  }
  return best;
}

}  // namespace veloz::compress
