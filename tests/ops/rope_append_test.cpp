// SPDX-License-Identifier: Apache-2.0
#include "ops/rope_append.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "ops/kv_layout.h"
#include "support/rope_append_case.h"

namespace veloz::ops {
namespace {

using test::AppendedRows;
using test::OwnedTensor;
using test::RopeAppendCall;
using test::RopeAppendCase;

TEST(RopeAppend, IsTwoRopesAndKvAppendBitForBit) {
  for (const auto& [x, cache] : test::all_kv_dtypes())
    for (const RopeAppendCase& c : test::rope_append_cases(x, cache)) {
      const RopeAppendCall call(c);
      EXPECT_TRUE(
          same_bytes(call.fused(test::run_reference_into), call.apart(test::run_reference_into)))
          << testing::PrintToString(c);
    }
}

TEST(RopeAppend, CostCountsEachOperandOnceAndTheRowsOfTheCache) {
  for (const auto& [cache_dtype, row_bytes] :
       {std::pair(DType::bf16, 128), {DType::fp8_e4m3, 64}, {DType::int8, 68}}) {
    const RopeAppendCase c{.cache_dtype = cache_dtype, .rotary_dim = 32, .num_tokens = 3};
    const RopeAppendCall call(c);
    const OwnedTensor q(c.dtype, {3, 4 * 64});
    const std::vector<TensorView> inputs = call.inputs(call.cache().view());
    const std::vector<TensorView> outputs = {call.cache().view(), q.view()};
    const Cost cost =
        op_def(Op::rope_append).cost({.inputs = inputs, .outputs = outputs, .attrs = call.attrs()});
    EXPECT_EQ(cost.flops, 3.0 * 3 * (4 + 2) * 64);
    const double qkv_bytes = 3.0 * (4 + 2 + 2) * 64 * 2, q_bytes = 3.0 * 4 * 64 * 2;
    EXPECT_EQ(cost.bytes, qkv_bytes + q_bytes + 3.0 * 32 * 4 + 3 * 8 + 3.0 * 2 * 2 * row_bytes);
  }
}

/// The tolerance of every element of the cache, with what it is of.
template <typename Visit>
void for_each_cached(const RopeAppendCase& c, const Visit& visit) {
  const RopeAppendCall call(c);
  const AppendedRows rows = call.fused(test::run_reference_into);
  const std::vector<TensorView> inputs = call.inputs(rows.cache.view());
  const std::vector<TensorView> outputs = {rows.cache.view(), rows.q.view()};
  const OpCall op_call{.inputs = inputs, .outputs = outputs, .attrs = call.attrs()};
  const KvLayout layout = KvLayout::of(rows.cache.view());
  const auto tolerance = [&](int64_t index) {
    const int64_t columns = 2 * layout.half_block();
    return op_def(Op::rope_append).tolerance(op_call, 0, index / columns, index % columns);
  };
  std::vector<int64_t> token_of(static_cast<size_t>(layout.num_blocks * layout.block_size), -1);
  for (int64_t t = 0; t < c.num_tokens; ++t)
    token_of[static_cast<size_t>(call.slots().view().as<const int64_t>()[t])] = t;
  for (int64_t slot = 0; slot < std::ssize(token_of); ++slot)
    for (int64_t head = 0; head < layout.num_kv_heads; ++head) {
      for (int64_t d = 0; d < layout.head_dim; ++d) {
        const int64_t k = layout.k_index(slot, head, d);
        visit(token_of[static_cast<size_t>(slot)], d, test::element(rows.cache.view(), k),
              tolerance(k));
        EXPECT_EQ(tolerance(layout.v_index(slot, head, d)), 0) << "of a value";
      }
      for (int64_t i = 0; c.cache_dtype == DType::int8 && i < kKvScaleBytes; ++i) {
        EXPECT_EQ(tolerance(layout.v_scale_index(slot, head) + i), 0) << "of a value's scale";
        const double k_scale = tolerance(layout.k_scale_index(slot, head) + i);
        if (token_of[static_cast<size_t>(slot)] < 0) {
          EXPECT_EQ(k_scale, 0) << "of another slot";
        }
      }
    }
}

TEST(RopeAppend, ToleratesOnlyWhatRotationsOfThisStepsKeysMayDifferBy) {
  for (const DType cache : {DType::fp32, DType::bf16, DType::fp8_e4m3, DType::int8}) {
    const RopeAppendCase c{.cache_dtype = cache, .rotary_dim = 32, .num_tokens = 2};
    int64_t num_tolerant = 0;
    for_each_cached(c, [&](int64_t t, int64_t d, double value, double tolerance) {
      SCOPED_TRACE(fmt::format("{}, token {}, channel {}, {}", to_string(cache), t, d, value));
      num_tolerant += tolerance > 0;
      if (t < 0 || (d >= c.rotary_dim && cache != DType::int8)) {
        EXPECT_EQ(tolerance, 0);
      } else if (cache == DType::fp32 || cache == DType::bf16) {
        EXPECT_LE(tolerance, std::abs(value) * 0x1p-7 + 1e-5);
      } else if (cache == DType::fp8_e4m3) {
        EXPECT_LE(tolerance, std::abs(value) * 0.15 + 0x1p-8);
      } else {
        EXPECT_LE(tolerance, 1.1 + std::abs(value) / 60);
      }
    });
    EXPECT_GE(num_tolerant, 2 * 2 * 32);
  }
}

/// The scale's bytes as a number: what lies further than a rounding of the largest channel shows.
TEST(RopeAppend, ToleratesNoOtherScaleOfCodes) {
  RopeAppendCase c{.cache_dtype = DType::int8, .num_kv_heads = 1, .num_tokens = 1};
  const RopeAppendCall call(c);
  const AppendedRows rows = call.fused(test::run_reference_into);
  const KvLayout layout = KvLayout::of(rows.cache.view());
  const int64_t slot = call.slots().view().as<const int64_t>()[0];
  const std::vector<TensorView> inputs = call.inputs(rows.cache.view());
  const auto is_within = [&](float scale) {
    const OwnedTensor actual = test::copy_of(rows.cache.view());
    std::memcpy(actual.view().as<std::byte>() + layout.k_scale_index(slot, 0), &scale,
                sizeof(scale));
    std::vector<OwnedTensor> reference;
    reference.push_back(test::copy_of(rows.cache.view()));
    reference.push_back(test::copy_of(rows.q.view()));
    return bool(test::within_tolerance(Op::rope_append, inputs, reference, 0, actual.view(),
                                       call.attrs(), 0));
  };
  float scale;
  std::memcpy(&scale, rows.cache.view().as<std::byte>() + layout.k_scale_index(slot, 0),
              sizeof(scale));
  EXPECT_TRUE(is_within(scale));
  EXPECT_TRUE(is_within(scale * (1 + 0x1p-8f)));
  EXPECT_TRUE(is_within(scale * (1 - 0x1p-8f)));
  EXPECT_FALSE(is_within(scale * 1.05f));
  EXPECT_FALSE(is_within(scale * 0.95f));
  EXPECT_FALSE(is_within(scale * 2));
  EXPECT_FALSE(is_within(0));
  EXPECT_FALSE(is_within(std::nanf("")));
}

}  // namespace
}  // namespace veloz::ops
