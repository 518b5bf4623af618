// SPDX-License-Identifier: Apache-2.0
#include "ops/rope.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "support/op_runs.h"

namespace veloz::ops {
namespace {

using nlohmann::json;
using test::OwnedTensor;
using test::random_tensor;
using test::tensor_of;

json read_golden() {
  std::ifstream file(VELOZ_TEST_DATA_DIR "/golden/ops/rope.json");
  return json::parse(file);
}

float from_bits(const json& bits) { return std::bit_cast<float>(bits.get<uint32_t>()); }

Attrs angle_attrs(const json& c) {
  const json& rope = c["rope"];
  const std::string type = rope["rope_type"];
  Attrs attrs = {{"rotary_dim", c["rotary_dim"].get<int64_t>()},
                 {"theta", c["theta"].get<double>()},
                 {"scaling", type == "default" ? std::string("none") : type}};
  for (const char* name : {"factor", "low_freq_factor", "high_freq_factor"})
    if (rope.contains(name)) attrs.set(name, rope[name].get<double>());
  if (rope.contains("original_max_position_embeddings"))
    attrs.set("original_max_position_embeddings",
              rope["original_max_position_embeddings"].get<int64_t>());
  return attrs;
}

RopeAnglesArgs angle_args(const Attrs& attrs) {
  const std::vector<TensorView> operand(1);
  return RopeAnglesArgs::from({.inputs = operand, .outputs = operand, .attrs = attrs});
}

TEST(RopeAngles, InverseFrequenciesAreThoseOfTransformers) {
  const json golden = read_golden();
  ASSERT_EQ(golden["cases"].size(), 9u);
  for (const json& c : golden["cases"]) {
    const Attrs attrs = angle_attrs(c);
    const RopeAnglesArgs args = angle_args(attrs);
    int64_t pair = 0;
    for (const json& bits : c["inv_freq_bits"]) {
      const float want = from_bits(bits);
      const float got = rope_inv_freq(args, pair++);
      // PyTorch's vectorised pow is off by up to one ulp, and what follows doubles that at most.
      EXPECT_NEAR(got, want, 2 * 0x1p-23 * want) << c["rope"] << " pair " << pair - 1;
    }
  }
}

TEST(RopeAngles, CosinesAndSinesAreThoseOfTransformers) {
  const json golden = read_golden();
  ASSERT_EQ(golden["cases"].size(), 9u);
  const auto positions = golden["positions"].get<std::vector<int32_t>>();
  const auto rows = static_cast<int64_t>(positions.size());
  const OwnedTensor position_tensor = tensor_of<int32_t>({rows}, positions);
  for (const json& c : golden["cases"]) {
    const int64_t half = c["rotary_dim"].get<int64_t>() / 2;
    const Attrs attrs = angle_attrs(c);
    const auto angles = test::run_reference(Op::rope_angles, {position_tensor.view()}, attrs);
    for (int64_t t = 0; t < rows; ++t) {
      const float* const row = angles[0].view().row<const float>(t);
      for (int64_t i = 0; i < half; ++i) {
        // Two ulp of inv_freq turn the angle by this much.
        const double angle =
            double{rope_inv_freq(angle_args(attrs), i)} * positions[static_cast<size_t>(t)];
        const double allowed = 3e-7 + 3 * 0x1p-23 * angle;
        const auto at = static_cast<size_t>(t * half + i);
        EXPECT_NEAR(row[i], from_bits(c["cos_bits"][at]), allowed) << c["rope"] << t << " " << i;
        EXPECT_NEAR(row[half + i], from_bits(c["sin_bits"][at]), allowed);
      }
    }
  }
}

TEST(Rope, RotatesPairsOfItsStyleAndCopiesTheRest) {
  // One head of 6 channels, 4 of them rotary; pair 0 turns by 90 degrees, pair 1 by 180.
  const OwnedTensor x = tensor_of<float>({1, 6}, {1, 2, 3, 4, 5, 6});
  const OwnedTensor angles = tensor_of<float>({1, 4}, {0, -1, 1, 0});
  Attrs attrs = {
      {"num_heads", int64_t{1}}, {"head_dim", int64_t{6}}, {"style", std::string("neox")}};
  const auto neox = test::run_reference(Op::rope, {x.view(), angles.view()}, attrs);
  EXPECT_EQ(test::values_of(neox[0].view()), (std::vector<double>{-3, -2, 1, -4, 5, 6}));
  attrs.set("style", std::string("interleaved"));
  const auto interleaved = test::run_reference(Op::rope, {x.view(), angles.view()}, attrs);
  EXPECT_EQ(test::values_of(interleaved[0].view()), (std::vector<double>{-2, 1, -3, -4, 5, 6}));
}

TEST(Rope, KeepsLengthsAndMayWriteOverItsInput) {
  const uint64_t seed = 61;
  const Attrs attrs = {
      {"num_heads", int64_t{3}}, {"head_dim", int64_t{24}}, {"style", std::string("neox")}};
  const OwnedTensor positions = random_tensor(DType::int32, {5}, seed, {.low = 0, .high = 4000});
  const auto angles = test::run_reference(
      Op::rope_angles, {positions.view()},
      {{"rotary_dim", int64_t{16}}, {"theta", 10000.0}, {"scaling", std::string("none")}});
  const OwnedTensor x = random_tensor(DType::fp32, {5, 72}, seed + 1, {.row_stride = 100});
  const std::vector<double> before = test::values_of(x.view());
  const auto apart = test::run_reference(Op::rope, {x.view(), angles[0].view()}, attrs);
  test::run_reference_into(Op::rope, {x.view(), angles[0].view()}, {x.view()}, attrs);
  EXPECT_TENSOR_EQ(x.view(), apart[0].view(), seed);
  EXPECT_TRUE(x.gaps_untouched());
  const std::vector<double> after = test::values_of(x.view());
  for (size_t head = 0; head < 15; ++head) {
    for (size_t i = 0; i < 8; ++i) {
      const size_t at = head * 24 + i;
      EXPECT_NEAR(std::hypot(after[at], after[at + 8]), std::hypot(before[at], before[at + 8]),
                  1e-6);
    }
    for (size_t i = 16; i < 24; ++i) EXPECT_EQ(after[head * 24 + i], before[head * 24 + i]);
  }
}

}  // namespace
}  // namespace veloz::ops
