// SPDX-License-Identifier: Apache-2.0
#include "ops/quantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/fp8.h"
#include "support/expect_error.h"
#include "support/infinity.h"
#include "support/op_runs.h"

namespace veloz::ops {
namespace {

using test::kInfinity;
using test::OwnedTensor;
using test::random_tensor;
using test::run_reference;
using test::tensor_of;
using test::values_of;

constexpr float kNoNumber = std::numeric_limits<float>::quiet_NaN();

Attrs to_format(std::string format) { return {{"format", std::move(format)}}; }

TEST(Quantize, MapsTheLargestMagnitudeOfARowToTheLimit) {
  const OwnedTensor x = tensor_of<float>({2, 3}, {-2, 1, 0.5f, 0, 254, -127});
  const auto int8 = run_reference(Op::quantize, {x.view()}, to_format("int8"));
  EXPECT_EQ(values_of(int8[0].view()), (std::vector<double>{-127, 64, 32, 0, 127, -64}));
  EXPECT_EQ(values_of(int8[1].view()), (std::vector<double>{2.0f / 127.0f, 2}));
  const auto fp8 = run_reference(Op::quantize, {x.view()}, to_format("fp8_e4m3"));
  EXPECT_EQ(values_of(fp8[0].view()), (std::vector<double>{-448, 224, 112, 0, 448, -224}));
  EXPECT_EQ(values_of(fp8[1].view()), (std::vector<double>{2.0f / 448.0f, 254.0f / 448.0f}));
}

TEST(Quantize, RoundsTiesToEvenAndSaturatesUnderAFixedScale) {
  const OwnedTensor x = tensor_of<float>({1, 6}, {0.5f, 1.5f, -2.5f, 1000, -1000, 126.5f});
  Attrs attrs = to_format("int8");
  attrs.set("scale", 1.0);
  const auto got = run_reference(Op::quantize, {x.view()}, attrs);
  EXPECT_EQ(values_of(got[0].view()), (std::vector<double>{0, 2, -2, 127, -127, 126}));
  EXPECT_EQ(values_of(got[1].view()), (std::vector<double>{1}));
}

TEST(Quantize, GivesEachGroupAScale) {
  const OwnedTensor x = tensor_of<float>({1, 4}, {1, -1, 100, 0});
  Attrs attrs = to_format("int8");
  attrs.set("group", int64_t{2});
  const auto got = run_reference(Op::quantize, {x.view()}, attrs);
  EXPECT_EQ(values_of(got[0].view()), (std::vector<double>{127, -127, 127, 0}));
  EXPECT_EQ(values_of(got[1].view()), (std::vector<double>{1.0f / 127.0f, 100.0f / 127.0f}));
}

TEST(Quantize, GivesZerosScaleZeroAndWhatIsNoNumberScaleNaN) {
  const OwnedTensor x =
      tensor_of<float>({4, 2}, {0, -0.0f, 9e-31f, 0, kNoNumber, 1, 1, -kInfinity});
  for (const bool is_fixed : {false, true}) {
    Attrs attrs = to_format("int8");
    if (is_fixed) attrs.set("scale", 1.0);
    const auto got = run_reference(Op::quantize, {x.view()}, attrs);
    EXPECT_EQ(values_of(got[0].view()), std::vector<double>(8, 0));
    EXPECT_EQ(test::element(got[1].view(), 0), is_fixed ? 1 : 0);
    EXPECT_EQ(test::element(got[1].view(), 1), is_fixed ? 1 : 0);
    EXPECT_TRUE(std::isnan(test::element(got[1].view(), 2)));
    EXPECT_TRUE(std::isnan(test::element(got[1].view(), 3)));
  }
}

TEST(Quantize, ShapeRuleSaysWhatIsWrong) {
  const auto refused = [](std::string_view attrs, std::string_view why) {
    return test::throws_error(ErrorKind::corrupt_data, {why},
                              [&] { test::infer_types(Op::quantize, {"bf16[T,64]"}, attrs); });
  };
  EXPECT_TRUE(refused("format=\"int4\"", "format"));
  EXPECT_TRUE(refused("format=\"int8\", group=48", "does not divide"));
  EXPECT_TRUE(refused("format=\"int8\", group=32, scale=1.0", "both"));
  EXPECT_TRUE(refused("format=\"int8\", scale=-1.0", "scale"));
  EXPECT_TRUE(refused("format=\"int8\", scale=1e-40", "outside"));
  EXPECT_TRUE(refused("format=\"int8\", scale=1e40", "outside"));
}

/// Calls of each op that can quantize its output, on random numbers.
struct Fusable {
  Op op;
  std::vector<OwnedTensor> inputs;
  Attrs attrs;
};

std::vector<Fusable> fusable_calls() {
  const auto matrix = [](uint64_t seed) { return random_tensor(DType::bf16, {3, 64}, seed); };
  const auto vector = [](uint64_t seed) { return random_tensor(DType::fp32, {64}, seed); };
  std::vector<Fusable> calls;
  const auto add = [&](Op op, const Attrs& attrs, auto... inputs) {
    calls.push_back({op, {}, attrs});
    (calls.back().inputs.push_back(std::move(inputs)), ...);
  };
  const Attrs eps{{"eps", 1e-5}};
  const Attrs silu{{"act", std::string("silu")}};
  add(Op::rms_norm, eps, matrix(1), vector(2));
  add(Op::add_rms_norm, eps, matrix(1), matrix(2), vector(3));
  add(Op::layer_norm, eps, matrix(1), vector(2), vector(3));
  add(Op::add_layer_norm, eps, matrix(1), matrix(2), vector(3), vector(4));
  add(Op::act, silu, matrix(1));
  add(Op::gated_act, silu, matrix(1), matrix(2));
  return calls;
}

TEST(QuantizedOutputs, AreThoseOfQuantizeOnTheRoundedOutput) {
  for (const Fusable& call : fusable_calls()) {
    const auto inputs = test::views_of(call.inputs);
    const auto y = run_reference(call.op, inputs, call.attrs);
    Attrs quantize = to_format("fp8_e4m3");
    quantize.set("group", int64_t{32});
    const auto want = run_reference(Op::quantize, {y.back().view()}, quantize);
    Attrs fused = call.attrs;
    fused.set("quantize", std::string("fp8_e4m3"));
    fused.set("group", int64_t{32});
    const auto got = run_reference(call.op, inputs, fused);
    ASSERT_EQ(got.size(), y.size() + 1);
    for (size_t i = 0; i + 1 < y.size(); ++i) EXPECT_TENSOR_EQ(got[i].view(), y[i].view(), 1);
    for (size_t i = 0; i < 2; ++i)
      EXPECT_TENSOR_EQ(got[y.size() - 1 + i].view(), want[i].view(), 1) << op_def(call.op).name;
  }
}

TEST(QuantizedOutputs, GroupAndScaleWithoutAFormatAreRefused) {
  for (const std::string attrs : {"act=\"silu\", group=32", "act=\"silu\", scale=1.0"})
    EXPECT_TRUE(test::throws_error(ErrorKind::corrupt_data, {"without quantize"},
                                   [&] { test::infer_types(Op::act, {"bf16[T,64]"}, attrs); }));
}

}  // namespace
}  // namespace veloz::ops
