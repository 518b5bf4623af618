// SPDX-License-Identifier: Apache-2.0
#include "ops/activation.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "support/infinity.h"
#include "support/op_runs.h"

namespace veloz::ops {
namespace {

using test::kInfinity;

TEST(Activation, HasTheValuesOfItsFormula) {
  EXPECT_NEAR(activate(Activation::silu, 1), 0.7310585786300049, 1e-15);
  EXPECT_NEAR(activate(Activation::silu, -2), -0.2384058440442351, 1e-15);
  EXPECT_NEAR(activate(Activation::gelu, 1), 0.8413447460685429, 1e-15);
  EXPECT_NEAR(activate(Activation::gelu, -2), -0.04550026389635842, 1e-15);
  EXPECT_NEAR(activate(Activation::gelu_tanh, 1), 0.8411919906082768, 1e-15);
  EXPECT_NEAR(activate(Activation::gelu_tanh, -2), -0.04540230591222594, 1e-15);
  EXPECT_EQ(activate(Activation::relu, 3), 3);
  EXPECT_EQ(activate(Activation::relu, -3), 0);
}

TEST(Activation, KeepsItsLimitsAndNan) {
  for (const Activation activation :
       {Activation::silu, Activation::gelu, Activation::gelu_tanh, Activation::relu}) {
    EXPECT_EQ(activate(activation, 0), 0) << to_string(activation);
    EXPECT_EQ(activate(activation, 1e6), 1e6) << to_string(activation);
    EXPECT_NEAR(activate(activation, -1e6), 0, 1e-300) << to_string(activation);
    EXPECT_EQ(activate(activation, kInfinity), kInfinity) << to_string(activation);
    EXPECT_EQ(activate(activation, -kInfinity), 0) << to_string(activation);
    EXPECT_TRUE(std::isnan(activate(activation, std::nan("")))) << to_string(activation);
  }
}

TEST(Activation, IsParsedByName) {
  for (const Activation activation :
       {Activation::silu, Activation::gelu, Activation::gelu_tanh, Activation::relu})
    EXPECT_EQ(parse_activation(to_string(activation)), activation);
  EXPECT_TRUE(test::throws_error(ErrorKind::corrupt_data,
                                 {"unknown activation \"swish\"", "silu, gelu, gelu_tanh, relu"},
                                 [] { parse_activation("swish"); }));
}

TEST(GatedAct, MultipliesStridedHalvesAndMayWriteOverTheGate) {
  const uint64_t seed = 31;
  const Attrs attrs = {{"act", std::string("silu")}};
  for (const DType dtype : {DType::fp32, DType::bf16}) {
    test::OwnedTensor both = test::random_tensor(dtype, {5, 66}, seed);
    const TensorView gate(both.view().data, dtype, {5, 33}, 66);
    const TensorView up(static_cast<std::byte*>(both.view().data) + 33 * dtype_bytes(dtype), dtype,
                        {5, 33}, 66);
    test::OwnedTensor want(dtype, {5, 33});
    for (int64_t i = 0; i < 5 * 33; ++i)
      test::set_element(want.view(), i,
                        activate(Activation::silu, test::element(gate, i)) * test::element(up, i));
    test::run_reference_into(Op::gated_act, {gate, up}, {gate}, attrs);
    EXPECT_TENSOR_EQ(gate, want.view(), seed);
  }
}

TEST(Act, ToleranceHoldsFp32Arithmetic) {
  const uint64_t seed = 32;
  const Attrs attrs = {{"act", std::string("gelu_tanh")}};
  const test::OwnedTensor x =
      test::random_tensor(DType::fp32, {9, 127}, seed, {.low = -9, .high = 9});
  const auto reference = test::run_reference(Op::act, {x.view()}, attrs);
  test::OwnedTensor fp32(DType::fp32, {9, 127});
  for (int64_t i = 0; i < 9 * 127; ++i) {
    const float v = x.view().as<const float>()[i];
    const float inner = 0.7978845608f * (v + 0.044715f * v * v * v);
    fp32.view().as<float>()[i] = 0.5f * v * (1.0f + std::tanh(inner));
  }
  EXPECT_WITHIN_TOLERANCE(Op::act, {x.view()}, reference, 0, fp32.view(), attrs, seed);
  fp32.view().as<float>()[500] += 1e-4f;
  EXPECT_FALSE(test::within_tolerance(Op::act, {x.view()}, reference, 0, fp32.view(), attrs, seed));
}

}  // namespace
}  // namespace veloz::ops
