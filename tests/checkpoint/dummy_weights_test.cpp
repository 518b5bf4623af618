// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/dummy_weights.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace veloz::checkpoint {
namespace {

DummyWeights example(uint64_t seed) {
  DummyWeights weights(seed);
  weights.declare("w.weight", {40, 33});
  weights.declare("v.weight", {40, 33});
  weights.declare("norm.weight", {5});
  weights.declare("w.bias", {5});
  return weights;
}

std::vector<float> rows(const DummyWeights& weights, std::string_view name, int64_t begin,
                        int64_t end, int64_t columns) {
  std::vector<BFloat16> values(static_cast<size_t>((end - begin) * columns));
  weights.read_rows(name, begin, end, std::as_writable_bytes(std::span(values)));
  std::vector<float> floats;
  for (const BFloat16 value : values) floats.push_back(static_cast<float>(value));
  return floats;
}

TEST(DummyWeights, KnowsWhatWasDeclared) {
  const DummyWeights weights = example(1);
  EXPECT_EQ(weights.find("w.weight")->dtype, DType::bf16);
  EXPECT_EQ(weights.find("w.weight")->shape, Shape({40, 33}));
  EXPECT_EQ(weights.find("other"), std::nullopt);
}

TEST(DummyWeights, GivesTheSameElementsInWhateverPiecesTheyAreRead) {
  const DummyWeights weights = example(1);
  const std::vector<float> whole = rows(weights, "w.weight", 0, 40, 33);
  std::vector<float> pieces;
  for (int64_t begin = 0; begin < 40; begin += 7) {
    const std::vector<float> piece =
        rows(weights, "w.weight", begin, std::min<int64_t>(begin + 7, 40), 33);
    pieces.insert(pieces.end(), piece.begin(), piece.end());
  }
  EXPECT_EQ(pieces, whole);
}

TEST(DummyWeights, DifferBySeedAndName) {
  const std::vector<float> one = rows(example(1), "w.weight", 0, 40, 33);
  EXPECT_EQ(one, rows(example(1), "w.weight", 0, 40, 33));
  EXPECT_NE(one, rows(example(2), "w.weight", 0, 40, 33));
  EXPECT_NE(one, rows(example(1), "v.weight", 0, 40, 33));
}

TEST(DummyWeights, KeepTheSizeOfActivations) {
  double sum = 0;
  double squares = 0;
  const std::vector<float> values = rows(example(3), "w.weight", 0, 40, 33);
  for (const float value : values) {
    sum += value;
    squares += value * value;
  }
  const auto count = static_cast<double>(values.size());
  // Uniform of variance 1/33: the standard errors are 0.0048 and 3 % of it.
  EXPECT_NEAR(sum / count, 0, 0.02);
  EXPECT_NEAR(squares / count * 33, 1, 0.1);
}

TEST(DummyWeights, GainsAreOneAndBiasesZero) {
  EXPECT_EQ(rows(example(1), "norm.weight", 0, 5, 1), std::vector<float>(5, 1.0f));
  EXPECT_EQ(rows(example(1), "w.bias", 1, 4, 1), std::vector<float>(3, 0.0f));
}

}  // namespace
}  // namespace veloz::checkpoint
