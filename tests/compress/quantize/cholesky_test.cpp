// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/cholesky.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "compress/quantize/test_machine.h"

namespace veloz::compress {
namespace {

/// X^T X of random rows.
Matrix products(int64_t size, int64_t rows, uint64_t seed) {
  const Matrix x = test::normal_matrix(rows, size, seed);
  Matrix h(size, size);
  for (int64_t t = 0; t < rows; ++t)
    for (int64_t i = 0; i < size; ++i)
      for (int64_t j = 0; j < size; ++j) h.row(i)[j] += x.row(t)[i] * x.row(t)[j];
  return h;
}

double mean_diagonal(const Matrix& h) {
  double sum = 0;
  for (int64_t i = 0; i < h.rows; ++i) sum += static_cast<double>(h.row(i)[i]);
  return sum / static_cast<double>(h.rows);
}

/// Largest element of V (H + added I) V^T - I, which is 0 where V^T V is the inverse.
double distance_from_inverse(const Matrix& v, const Matrix& h, double added) {
  const int64_t size = h.rows;
  double worst = 0;
  std::vector<double> row(static_cast<size_t>(size));
  for (int64_t i = 0; i < size; ++i) {
    for (int64_t j = 0; j < size; ++j) {
      double sum = static_cast<double>(v.row(i)[j]) * added;
      for (int64_t k = 0; k < size; ++k)
        sum += static_cast<double>(v.row(i)[k]) * static_cast<double>(h.row(k)[j]);
      row[static_cast<size_t>(j)] = sum;
    }
    for (int64_t j = 0; j < size; ++j) {
      double sum = i == j ? -1 : 0;
      for (int64_t k = 0; k < size; ++k)
        sum += row[static_cast<size_t>(k)] * static_cast<double>(v.row(j)[k]);
      worst = std::max(worst, std::abs(sum));
    }
  }
  return worst;
}

TEST(InverseFactor, IsUpperTriangularAndMultipliesToTheInverse) {
  test::TestMachine machine;
  for (const int64_t size : {1, 3, 63, 64, 65, 131}) {
    const Matrix h = products(size, 2 * size, static_cast<uint64_t>(size));
    const Matrix v = inverse_factor(h, 0.01, machine.pool());
    EXPECT_LT(distance_from_inverse(v, h, 0.01 * mean_diagonal(h)), 1e-4) << size;
    for (int64_t i = 0; i < size; ++i)
      for (int64_t j = 0; j < i; ++j) EXPECT_EQ(v.row(i)[j], 0) << size;
  }
}

TEST(InverseFactor, OfFewerRowsThanColumnsStandsOnItsDamping) {
  test::TestMachine machine;
  const Matrix h = products(100, 10, 1);
  const Matrix v = inverse_factor(h, 0.01, machine.pool());
  EXPECT_LT(distance_from_inverse(v, h, 0.01 * mean_diagonal(h)), 1e-3);
}

TEST(InverseFactor, AColumnWithoutInputsCountsAsOne) {
  test::TestMachine machine;
  Matrix h(2, 2);
  h.values = {3, 0, 0, 0};
  const Matrix v = inverse_factor(h, 0.5, machine.pool());  // added: 0.5 * (3 + 1) / 2
  EXPECT_NEAR(v.row(0)[0], 1 / std::sqrt(4.0), 1e-6);
  EXPECT_NEAR(v.row(1)[1], 1 / std::sqrt(2.0), 1e-6);
}

TEST(InverseFactor, RaisesTheDampingOfAnIndefiniteMatrix) {
  test::TestMachine machine;
  Matrix h(2, 2);
  h.values = {1, 1.05f, 1.05f, 1};  // eigenvalues 2.05 and -0.05: 0.01 is too little, 0.1 is not
  const Matrix v = inverse_factor(h, 0.01, machine.pool());
  EXPECT_LT(distance_from_inverse(v, h, 0.1), 1e-5);
}

TEST(InverseFactor, ThreadsDoNotShow) {
  test::TestMachine one(1);
  test::TestMachine three(3);
  const Matrix h = products(150, 300, 2);
  EXPECT_EQ(inverse_factor(h, 0.01, one.pool()).values,
            inverse_factor(h, 0.01, three.pool()).values);
}

}  // namespace
}  // namespace veloz::compress
