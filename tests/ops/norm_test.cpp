// SPDX-License-Identifier: Apache-2.0
#include "ops/norm.h"

#include <gtest/gtest.h>

#include "support/op_runs.h"

namespace veloz::ops {
namespace {

using test::OwnedTensor;
using test::random_tensor;
using test::run_reference;
using test::tensor_of;

TEST(RmsNorm, NormsByHand) {
  // mean of squares (9 + 16 + 0 + 0) / 4 = 6.25; with eps 0 rounded to fp32 min: 1/2.5
  const OwnedTensor x = tensor_of<float>({1, 4}, {3, 4, 0, 0});
  const OwnedTensor gamma = tensor_of<float>({4}, {1, 10, 1, 1});
  const auto y = run_reference(Op::rms_norm, {x.view(), gamma.view()}, {{"eps", 1e-30}});
  EXPECT_TENSOR_NEAR(y[0].view(), tensor_of<float>({1, 4}, {1.2f, 16, 0, 0}).view(),
                     (test::Tolerance{.relative = 1e-7}), 0);
}

TEST(RmsNorm, EpsCountsWhereARowIsSmall) {
  const OwnedTensor x = tensor_of<float>({1, 2}, {1e-4f, 1e-4f});
  const OwnedTensor gamma = tensor_of<float>({2}, {1, 1});
  const auto y = run_reference(Op::rms_norm, {x.view(), gamma.view()}, {{"eps", 3e-8}});
  EXPECT_NEAR(test::element(y[0].view(), 0), 0.5, 1e-6);  // sqrt(1e-8 + 3e-8) = 2e-4
}

TEST(LayerNorm, NormsByHand) {
  // mean 2, variance (4 + 0 + 4 + 0) / 4 = 2, of eps 2: 1 / sqrt(4)
  const OwnedTensor x = tensor_of<float>({1, 4}, {0, 2, 4, 2});
  const OwnedTensor gamma = tensor_of<float>({4}, {1, 1, 3, 1});
  const OwnedTensor beta = tensor_of<float>({4}, {0, 0.5, 0, 0});
  const auto y =
      run_reference(Op::layer_norm, {x.view(), gamma.view(), beta.view()}, {{"eps", 2.0}});
  EXPECT_EQ(test::values_of(y[0].view()), (std::vector<double>{-1, 0.5, 3, 0}));
}

struct NormCase {
  Op plain;
  Op fused;
  bool has_beta;
};

/// The fused op must give, bit for bit, what addition and norm give one after the other.
void expect_fusing_changes_no_bit(const NormCase& c, DType dtype) {
  const uint64_t seed = 21;
  const Attrs attrs = {{"eps", 1e-5}};
  const OwnedTensor x = random_tensor(dtype, {7, 130}, seed, {.row_stride = 200});
  const OwnedTensor delta = random_tensor(dtype, {7, 130}, seed + 1);
  const OwnedTensor gamma = random_tensor(DType::fp32, {130}, seed + 2);
  const OwnedTensor beta = random_tensor(DType::fp32, {130}, seed + 3);
  std::vector<TensorView> vectors = {gamma.view()};
  if (c.has_beta) vectors.push_back(beta.view());

  std::vector<TensorView> fused_inputs = {x.view(), delta.view()};
  fused_inputs.insert(fused_inputs.end(), vectors.begin(), vectors.end());
  const auto fused = run_reference(c.fused, fused_inputs, attrs);
  const auto sum = run_reference(Op::add, {x.view(), delta.view()});
  std::vector<TensorView> plain_inputs = {sum[0].view()};
  plain_inputs.insert(plain_inputs.end(), vectors.begin(), vectors.end());
  const auto plain = run_reference(c.plain, plain_inputs, attrs);
  EXPECT_TENSOR_EQ(fused[0].view(), sum[0].view(), seed);
  EXPECT_TENSOR_EQ(fused[1].view(), plain[0].view(), seed);
}

TEST(Norms, FusingTheAdditionChangesNoBit) {
  for (const DType dtype : {DType::fp32, DType::bf16}) {
    expect_fusing_changes_no_bit({Op::rms_norm, Op::add_rms_norm, false}, dtype);
    expect_fusing_changes_no_bit({Op::layer_norm, Op::add_layer_norm, true}, dtype);
  }
}

TEST(Norms, MayWriteOverTheirInputs) {
  const uint64_t seed = 22;
  const Attrs attrs = {{"eps", 1e-5}};
  for (const DType dtype : {DType::fp32, DType::bf16}) {
    const OwnedTensor x = random_tensor(dtype, {5, 33}, seed);
    const OwnedTensor delta = random_tensor(dtype, {5, 33}, seed + 1);
    const OwnedTensor gamma = random_tensor(DType::fp32, {33}, seed + 2);
    const std::vector<TensorView> inputs = {x.view(), delta.view(), gamma.view()};
    const auto apart = run_reference(Op::add_rms_norm, inputs, attrs);
    test::run_reference_into(Op::add_rms_norm, inputs, {x.view(), delta.view()}, attrs);
    EXPECT_TENSOR_EQ(x.view(), apart[0].view(), seed);
    EXPECT_TENSOR_EQ(delta.view(), apart[1].view(), seed);
  }
}

TEST(Norms, DoNothingForNoRows) {
  const OwnedTensor x(DType::bf16, {0, 8});
  const OwnedTensor gamma(DType::fp32, {8});
  test::run_reference_into(Op::rms_norm, {x.view(), gamma.view()}, {x.view()}, {{"eps", 1e-5}});
}

/// The same formula in fp32 with a forward sum, as a kernel would compute it.
OwnedTensor fp32_layer_norm(const TensorView& x, const TensorView& gamma, const TensorView& beta) {
  OwnedTensor y(x.dtype, x.shape);
  const int64_t width = x.shape[1];
  for (int64_t t = 0; t < x.shape[0]; ++t) {
    float sum = 0;
    for (int64_t i = 0; i < width; ++i) sum += static_cast<float>(test::element(x, t * width + i));
    const float mean = sum / static_cast<float>(width);
    float squares = 0;
    for (int64_t i = 0; i < width; ++i) {
      const float centred = static_cast<float>(test::element(x, t * width + i)) - mean;
      squares += centred * centred;
    }
    const float scale = 1.0f / std::sqrt(squares / static_cast<float>(width) + 1e-5f);
    for (int64_t i = 0; i < width; ++i) {
      const float centred = static_cast<float>(test::element(x, t * width + i)) - mean;
      test::set_element(y.view(), t * width + i,
                        centred * scale * gamma.as<const float>()[i] + beta.as<const float>()[i]);
    }
  }
  return y;
}

TEST(LayerNorm, ToleranceHoldsAnFp32KernelAndCatchesAWrongMean) {
  const uint64_t seed = 23;
  const Attrs attrs = {{"eps", 1e-5}};
  for (const DType dtype : {DType::fp32, DType::bf16}) {
    // Far from zero, where the mean cancels.
    const OwnedTensor x = random_tensor(dtype, {3, 1003}, seed, {.low = 3, .high = 5});
    const OwnedTensor gamma = random_tensor(DType::fp32, {1003}, seed + 1);
    const OwnedTensor beta = random_tensor(DType::fp32, {1003}, seed + 2);
    const std::vector<TensorView> inputs = {x.view(), gamma.view(), beta.view()};
    const auto reference = run_reference(Op::layer_norm, inputs, attrs);
    const OwnedTensor fp32 = fp32_layer_norm(x.view(), gamma.view(), beta.view());
    EXPECT_WITHIN_TOLERANCE(Op::layer_norm, inputs, reference, 0, fp32.view(), attrs, seed);

    OwnedTensor wrong = test::copy_of(reference[0].view());
    for (int64_t i = 0; i < 1003; ++i)
      test::set_element(wrong.view(), i, test::element(wrong.view(), i) * 1.03);
    EXPECT_FALSE(
        test::within_tolerance(Op::layer_norm, inputs, reference, 0, wrong.view(), attrs, seed));
  }
}

}  // namespace
}  // namespace veloz::ops
