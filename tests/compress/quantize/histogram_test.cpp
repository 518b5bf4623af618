// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "compress/quantize/test_machine.h"

namespace veloz::compress {
namespace {

MagnitudeHistogram histogram_of(const Matrix& x) {
  MagnitudeHistogram histogram;
  histogram.add(x.view());
  return histogram;
}

TEST(MagnitudeHistogram, PercentilesAreAtMostOneBinAboveThoseOfTheSortedValues) {
  const Matrix x = test::normal_matrix(200, 100, 1);
  const MagnitudeHistogram histogram = histogram_of(x);
  std::vector<float> sorted;
  for (const float value : x.values) sorted.push_back(std::abs(value));
  std::ranges::sort(sorted);
  const float bin = 2 * sorted.back() / MagnitudeHistogram::kNumBins;
  for (const double share : {0.5, 0.9, 0.99, 0.999, 1.0}) {
    const auto at = static_cast<size_t>(std::ceil(share * static_cast<double>(sorted.size()))) - 1;
    EXPECT_GE(histogram.percentile(share), sorted[at]) << share;
    EXPECT_LE(histogram.percentile(share), sorted[at] + bin) << share;
  }
  EXPECT_EQ(histogram.percentile(1), histogram.amax());
}

TEST(MagnitudeHistogram, TheOrderOfValuesDoesNotMatter) {
  Matrix x = test::normal_matrix(50, 20, 2);
  for (int64_t k = 0; k < 20; ++k) x.row(49)[k] *= 1000;
  const MagnitudeHistogram forwards = histogram_of(x);
  std::ranges::reverse(x.values);
  const MagnitudeHistogram backwards = histogram_of(x);
  for (const double share : {0.3, 0.7, 0.98, 0.999})
    EXPECT_EQ(forwards.percentile(share), backwards.percentile(share)) << share;
  EXPECT_EQ(forwards.best_fp8_range(), backwards.best_fp8_range());
}

TEST(MagnitudeHistogram, OfZerosAllRangesAreZero) {
  const MagnitudeHistogram histogram = histogram_of(Matrix(3, 5));
  EXPECT_EQ(histogram.count(), 15u);
  EXPECT_EQ(histogram.amax(), 0);
  EXPECT_EQ(histogram.percentile(0.999), 0);
  EXPECT_EQ(histogram.best_fp8_range(), 0);
}

TEST(MagnitudeHistogram, NanIsNotCountedAndInfinityIsTheLargest) {
  Matrix x(1, 4);
  x.values = {1, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
              -2};
  const MagnitudeHistogram histogram = histogram_of(x);
  EXPECT_EQ(histogram.count(), 3u);
  EXPECT_TRUE(std::isinf(histogram.amax()));
}

TEST(MagnitudeHistogram, ARangeForFp8KeepsOutliersAsTheirErrorIsRelative) {
  const float amax = histogram_of(test::normal_matrix(100, 100, 3)).best_fp8_range();
  EXPECT_GT(amax, 2.0f);
}

}  // namespace
}  // namespace veloz::compress
