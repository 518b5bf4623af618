// SPDX-License-Identifier: Apache-2.0
#include "cuda/random_fill.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/fp8.h"
#include "cuda_runs.h"

namespace veloz::cuda {
namespace {

constexpr int64_t kNumElements = 10'007;

template <typename Element>
std::vector<float> normal(DType dtype, uint64_t seed, float deviation) {
  const auto stream = test_device().create_stream();
  const Buffer buffer = test_device().allocate(kNumElements * sizeof(Element));
  fill_normal(static_cast<CudaStream&>(*stream), buffer.data(), dtype, kNumElements, seed,
              deviation);
  std::vector<Element> elements(kNumElements);
  test_device().copy_out(*stream, elements.data(), buffer.data(), buffer.bytes());
  stream->synchronize();
  std::vector<float> values;
  for (const Element& element : elements) values.push_back(static_cast<float>(element));
  return values;
}

void expect_normal(const std::vector<float>& values, double deviation) {
  double sum = 0, squares = 0;
  for (const float value : values) {
    ASSERT_LE(std::abs(value), 3.5 * deviation);
    sum += value;
    squares += static_cast<double>(value) * value;
  }
  const auto count = static_cast<double>(values.size());
  EXPECT_NEAR(sum / count / deviation, 0, 5 / std::sqrt(count));
  EXPECT_NEAR(std::sqrt(squares / count) / deviation, 1, 0.04);
}

TEST(RandomFill, IsNormalInEveryDtype) {
  expect_normal(normal<float>(DType::fp32, 1, 2.0f), 2.0);
  expect_normal(normal<BFloat16>(DType::bf16, 2, 1.0f), 1.0);
  expect_normal(normal<Fp8E4M3>(DType::fp8_e4m3, 3, 100.0f), 100.0);
}

TEST(RandomFill, IsTheSameForTheSameSeedOnly) {
  const std::vector<float> once = normal<float>(DType::fp32, 7, 1.0f);
  EXPECT_EQ(normal<float>(DType::fp32, 7, 1.0f), once);
  EXPECT_NE(normal<float>(DType::fp32, 8, 1.0f), once);
}

TEST(RandomFill, IsEvenBetweenItsLimits) {
  const auto stream = test_device().create_stream();
  const Buffer buffer = test_device().allocate(kNumElements * sizeof(float));
  fill_uniform(static_cast<CudaStream&>(*stream), static_cast<float*>(buffer.data()), kNumElements,
               5, 0.25f, 0.75f);
  std::vector<float> values(kNumElements);
  test_device().copy_out(*stream, values.data(), buffer.data(), buffer.bytes());
  stream->synchronize();
  double sum = 0;
  for (const float value : values) {
    ASSERT_GE(value, 0.25f);
    ASSERT_LE(value, 0.75f);
    sum += value;
  }
  EXPECT_NEAR(sum / kNumElements, 0.5, 0.01);
}

}  // namespace
}  // namespace veloz::cuda
