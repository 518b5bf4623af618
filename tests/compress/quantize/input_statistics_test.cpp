// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/input_statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "compress/quantize/test_machine.h"

namespace veloz::compress {
namespace {

constexpr StatisticsWanted kAll{.hessian = true, .histogram = true};

/// Added in pieces of `piece` rows.
InputStatistics observe_in_pieces(const Matrix& x, int64_t piece, const Machine& machine) {
  InputStatistics statistics(x.columns, x.rows, kAll);
  for (int64_t begin = 0; begin < x.rows; begin += piece)
    statistics.add(x.view(begin, std::min(begin + piece, x.rows)), machine);
  return statistics;
}

TEST(InputStatistics, AreThoseOfTheFormulas) {
  test::TestMachine machine;
  const Matrix x = test::normal_matrix(75, 33, 1);
  const InputStatistics statistics = observe_in_pieces(x, 20, machine.get());
  EXPECT_EQ(statistics.num_tokens(), 75);
  EXPECT_TRUE(statistics.is_finite());
  for (int64_t k = 0; k < 33; ++k) {
    float amax = 0;
    double sum = 0;
    for (int64_t t = 0; t < 75; ++t) {
      amax = std::max(amax, std::abs(x.row(t)[k]));
      sum += static_cast<double>(std::abs(x.row(t)[k]));
    }
    EXPECT_EQ(statistics.amax()[static_cast<size_t>(k)], amax);
    EXPECT_NEAR(static_cast<double>(statistics.mean_magnitude()[static_cast<size_t>(k)]), sum / 75,
                1e-6);
  }
}

TEST(InputStatistics, TheHessianIsSymmetricAndXtX) {
  test::TestMachine machine;
  constexpr int64_t kColumns = 530;  // more than one block of columns
  const Matrix x = test::normal_matrix(40, kColumns, 2);
  const Matrix h = observe_in_pieces(x, 17, machine.get()).hessian();
  for (int64_t i = 0; i < kColumns; i += 13)
    for (int64_t j = 0; j < kColumns; j += 7) {
      double sum = 0;
      double bound = 0;
      for (int64_t t = 0; t < 40; ++t) {
        const double product = static_cast<double>(x.row(t)[i]) * static_cast<double>(x.row(t)[j]);
        sum += product;
        bound += std::abs(product);
      }
      // Each of 40 additions rounds once, as do those of the three pieces.
      EXPECT_NEAR(static_cast<double>(h.row(i)[j]), sum, 45 * 0x1p-24 * bound) << i << " " << j;
      EXPECT_EQ(h.row(i)[j], h.row(j)[i]);
    }
}

TEST(InputStatistics, SamplesAreSpreadOverAllRowsHoweverTheyCome) {
  test::TestMachine machine;
  Matrix x(1500, 2);
  for (int64_t t = 0; t < x.rows; ++t) x.row(t)[0] = static_cast<float>(t);
  const Matrix whole = observe_in_pieces(x, 1500, machine.get()).samples();
  const Matrix pieces = observe_in_pieces(x, 7, machine.get()).samples();
  ASSERT_EQ(whole.rows, InputStatistics::kMaxSamples);
  EXPECT_EQ(whole.values, pieces.values);
  for (int64_t i = 1; i < whole.rows; ++i) {
    const float distance = whole.row(i)[0] - whole.row(i - 1)[0];
    EXPECT_TRUE(distance == 2 || distance == 3) << i;
  }
}

TEST(InputStatistics, FewRowsAreAllSamples) {
  test::TestMachine machine;
  const Matrix x = test::normal_matrix(5, 3, 3);
  EXPECT_EQ(observe_in_pieces(x, 2, machine.get()).samples().values, x.values);
}

TEST(InputStatistics, DividedColumnsAreThoseOfDividedInputs) {
  test::TestMachine machine;
  Matrix x = test::normal_matrix(30, 8, 4);
  InputStatistics statistics = observe_in_pieces(x, 30, machine.get());
  const std::vector<float> scales = {1, 2, 4, 0.5f, 8, 1, 0.25f, 2};  // powers of 2: exact
  statistics.divide_columns(scales);
  for (int64_t t = 0; t < 30; ++t)
    for (int64_t k = 0; k < 8; ++k) x.row(t)[k] /= scales[static_cast<size_t>(k)];
  const InputStatistics expected = observe_in_pieces(x, 30, machine.get());
  EXPECT_EQ(statistics.samples().values, expected.samples().values);
  EXPECT_EQ(statistics.hessian().values, expected.hessian().values);
  EXPECT_TRUE(std::equal(statistics.amax().begin(), statistics.amax().end(),
                         expected.amax().begin(), expected.amax().end()));
  EXPECT_EQ(statistics.mean_magnitude(), expected.mean_magnitude());
}

TEST(InputStatistics, ThreadsDoNotShow) {
  test::TestMachine one(1);
  test::TestMachine three(3);
  const Matrix x = test::normal_matrix(64, 200, 5);
  EXPECT_EQ(observe_in_pieces(x, 32, one.get()).hessian().values,
            observe_in_pieces(x, 32, three.get()).hessian().values);
}

TEST(InputStatistics, SayWhereAValueIsNoNumber) {
  test::TestMachine machine;
  Matrix x = test::normal_matrix(4, 4, 6);
  x.row(2)[1] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(observe_in_pieces(x, 4, machine.get()).is_finite());
}

}  // namespace
}  // namespace veloz::compress
