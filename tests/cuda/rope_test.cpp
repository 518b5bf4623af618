// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>

#include "cuda/row_calls.h"
#include "cuda/sin_cos.h"

namespace veloz::cuda {
namespace {

using ops::Op;
using test::OwnedTensor;

TEST(CudaSinCos, AreExactToRoundingAtAnyAngle) {
  for (int i = 0; i < 200000; ++i) {
    // From far below one to beyond the last position times the fastest frequency.
    const float angle = std::ldexp(1.0f + static_cast<float>(i % 997) / 997.0f, i % 52 - 20) *
                        (i % 2 == 0 ? 1.0f : -1.0f);
    const SinCos got = sin_cos(angle);
    EXPECT_NEAR(got.sin, std::sin(static_cast<double>(angle)), 0x1p-24) << angle;
    EXPECT_NEAR(got.cos, std::cos(static_cast<double>(angle)), 0x1p-24) << angle;
    if (HasFailure()) return;
  }
  EXPECT_EQ(sin_cos(0.0f).sin, 0.0f);
  EXPECT_EQ(sin_cos(0.0f).cos, 1.0f);
}

ops::Attrs angle_attrs(int64_t rotary_dim, const std::string& scaling) {
  ops::Attrs attrs = {{"rotary_dim", rotary_dim}, {"theta", 500000.0}, {"scaling", scaling}};
  if (scaling != "none") attrs.set("factor", 8.0);
  if (scaling == "llama3") {
    attrs.set("low_freq_factor", 1.0);
    attrs.set("high_freq_factor", 4.0);
    attrs.set("original_max_position_embeddings", int64_t{8192});
  }
  return attrs;
}

TEST(CudaRopeAngles, MatchTheReferenceUnderEveryScaling) {
  for (const std::string scaling : {"none", "linear", "llama3"})
    for (const int64_t rotary_dim : {2, 64, 128, 1030})  // the last: more than one launch
      for (const int64_t num_rows : {1, 7}) {
        const OwnedTensor positions =
            test::random_tensor(DType::int32, {num_rows}, 9, {.low = 0, .high = 1 << 20});
        const ops::Attrs attrs = angle_attrs(rotary_dim, scaling);
        const auto want = test::run_reference(Op::rope_angles, {positions.view()}, attrs);
        const auto got =
            run_row_kernel(kernel_named("rope_angles/rows"), {positions.view()}, attrs, 0);
        EXPECT_WITHIN_TOLERANCE(Op::rope_angles, {positions.view()}, want, 0, got[0].view(), attrs,
                                9);
      }
}

TEST(CudaRopeAngles, AreNoneForNoRows) {
  const OwnedTensor positions(DType::int32, {0}), angles(DType::fp32, {0, 64});
  run_kernel(kernel_named("rope_angles/rows"), {positions.view()}, {angles.view()},
             angle_attrs(64, "none"));
}

/// The heads of models: whole chunks in registers, in a view of q and k together.
TEST(CudaRope, RotatesHeadsInsideAWiderMatrix) {
  for (const int64_t rotary_dim : {64, 128})
    for (const std::string style : {"neox", "interleaved"}) {
      const OwnedTensor qkv = test::random_tensor(DType::bf16, {5, 8 * 128}, 4);
      const TensorView q(qkv.view().as<uint16_t>() + 128, DType::bf16, {5, 6 * 128}, 8 * 128);
      const OwnedTensor positions =
          test::random_tensor(DType::int32, {5}, 5, {.low = 0, .high = 4096});
      const auto angles =
          test::run_reference(Op::rope_angles, {positions.view()}, angle_attrs(rotary_dim, "none"));
      const ops::Attrs attrs = {
          {"num_heads", int64_t{6}}, {"head_dim", int64_t{128}}, {"style", style}};
      const std::vector<TensorView> inputs = {q, angles[0].view()};
      const auto want = test::run_reference(Op::rope, inputs, attrs);
      const auto got = run_row_kernel(kernel_named("rope/rows"), inputs, attrs, 0);
      EXPECT_WITHIN_TOLERANCE(Op::rope, inputs, want, 0, got[0].view(), attrs, 4);
    }
}

}  // namespace
}  // namespace veloz::cuda
