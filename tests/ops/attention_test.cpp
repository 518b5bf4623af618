// SPDX-License-Identifier: Apache-2.0
#include "ops/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "base/fp8.h"
#include "ops/kv_layout.h"
#include "support/attention_case.h"
#include "support/op_runs.h"

namespace veloz::ops {
namespace {

using test::AttentionCase;
using test::BuiltAttention;
using test::OwnedTensor;
using test::random_tensor;
using test::tensor_of;

TEST(KvLayout, GivesEveryByteOfABlockItsOwnPlace) {
  for (const DType dtype : {DType::fp32, DType::bf16, DType::fp8_e4m3, DType::int8})
    for (const int64_t block_size : {5, 4}) {
      const int64_t extent = kv_row_extent(dtype, 6);
      EXPECT_EQ(extent, dtype == DType::int8 ? 10 : 6);
      const OwnedTensor cache(dtype, {3, 2, 2, block_size, extent});
      const KvLayout layout = KvLayout::of(cache.view());
      std::vector<int> hits(static_cast<size_t>(cache.view().shape.num_elements()));
      const auto hit = [&](int64_t index) { ++hits[static_cast<size_t>(index)]; };
      for (int64_t slot = 0; slot < 3 * block_size; ++slot)
        for (int64_t head = 0; head < 2; ++head) {
          for (int64_t d = 0; d < 6; ++d) {
            const int64_t k = layout.k_index(slot, head, d);
            EXPECT_EQ(k / (2 * 2 * block_size * extent), slot / block_size);  // inside its block
            hit(k);
            hit(layout.v_index(slot, head, d));
          }
          for (int64_t byte = 0; byte < extent - 6; ++byte) {
            hit(layout.k_scale_index(slot, head) + byte);
            hit(layout.v_scale_index(slot, head) + byte);
          }
        }
      EXPECT_TRUE(std::ranges::all_of(hits, [](int n) { return n == 1; }));
    }
}

/// The number that a cache of the case's dtype keeps of column `column` of row `row`, by the
/// formulas of ops/quantize.h.
double kept(const AttentionCase& c, const TensorView& rows, int64_t row, int64_t column,
            double fixed_scale) {
  const int64_t width = rows.shape[1];
  const double x = test::element(rows, row * width + column);
  if (c.cache() == DType::fp8_e4m3) {
    const auto scale = static_cast<float>(fixed_scale);
    return static_cast<double>(scale) *
           static_cast<float>(Fp8E4M3(static_cast<float>(x) * (1.0f / scale)));
  }
  if (c.cache() == DType::bf16) return static_cast<float>(BFloat16(static_cast<float>(x)));
  if (c.cache() == DType::fp32) return x;
  float amax = 0;
  for (int64_t d = 0; d < c.head_dim; ++d)
    amax = std::max(amax, static_cast<float>(std::abs(test::element(
                              rows, row * width + column / c.head_dim * c.head_dim + d))));
  return static_cast<double>(amax / 127.0f) *
         std::nearbyint(static_cast<float>(x) * (127.0f / amax));
}

/// Softmax attention over the plain arrays in long double, scores kept in a vector.
OwnedTensor naive_attention(const AttentionCase& c, const BuiltAttention& built) {
  OwnedTensor y(c.dtype, built.q.view().shape);
  const int64_t q_width = c.num_heads * c.head_dim;
  int64_t row = 0;
  for (size_t s = 0; s < c.q_lens.size(); ++s) {
    for (int64_t i = 0; i < c.q_lens[s]; ++i, ++row) {
      const int64_t position = c.kv_lens[s] - c.q_lens[s] + i;
      for (int64_t h = 0; h < c.num_heads; ++h) {
        const int64_t kv_base = h * c.num_kv_heads / c.num_heads * c.head_dim;
        std::vector<long double> weights;
        for (int64_t p = 0; p <= position; ++p) {
          long double dot = 0;
          for (int64_t d = 0; d < c.head_dim; ++d)
            dot += static_cast<long double>(
                       test::element(built.q.view(), row * q_width + h * c.head_dim + d)) *
                   kept(c, built.keys[s].view(), p, kv_base + d, c.k_scale);
          weights.push_back(std::exp(dot / std::sqrt(static_cast<long double>(c.head_dim))));
        }
        const long double total = std::accumulate(weights.begin(), weights.end(), 0.0L);
        for (int64_t d = 0; d < c.head_dim; ++d) {
          long double sum = 0;
          for (int64_t p = 0; p <= position; ++p)
            sum += weights[static_cast<size_t>(p)] / total *
                   kept(c, built.values[s].view(), p, kv_base + d, c.v_scale);
          test::set_element(y.view(), row * q_width + h * c.head_dim + d, static_cast<double>(sum));
        }
      }
    }
  }
  return y;
}

TEST(PagedAttention, AgreesWithSoftmaxOverPlainArrays) {
  const std::vector<AttentionCase> cases = {
      {.q_lens = {1}, .kv_lens = {1}},
      {.q_lens = {1, 5, 1}, .kv_lens = {37, 5, 16}},
      {.q_lens = {7, 3}, .kv_lens = {20, 49}, .dtype = DType::bf16},
      {.num_heads = 3, .num_kv_heads = 3, .head_dim = 2, .q_lens = {4}, .kv_lens = {33}},
      {.num_heads = 8, .num_kv_heads = 1, .head_dim = 64, .q_lens = {2}, .kv_lens = {257}},
      {.num_heads = 1, .num_kv_heads = 1, .head_dim = 300, .q_lens = {2}, .kv_lens = {9}},
  };
  for (AttentionCase c : cases)
    for (const DType cache_dtype : {DType::fp32, DType::bf16, DType::fp8_e4m3, DType::int8}) {
      c.cache_dtype = cache_dtype;
      const BuiltAttention built = build_attention(c);
      const auto y = test::run_reference(Op::paged_attention, built.inputs(), built.attrs);
      const double relative = c.dtype == DType::bf16 ? 0x1p-8 : 1e-6;
      EXPECT_TENSOR_NEAR(y[0].view(), naive_attention(c, built).view(),
                         (test::Tolerance{.absolute = 1e-6, .relative = relative}), c.seed)
          << to_string(cache_dtype);
    }
}

TEST(PagedAttention, AChunkedPromptGivesTheSameRows) {
  const AttentionCase whole{.q_lens = {12}, .kv_lens = {40}, .dtype = DType::bf16};
  const BuiltAttention built = build_attention(whole);
  const auto all = test::run_reference(Op::paged_attention, built.inputs(), built.attrs);
  std::vector<TensorView> inputs = built.inputs();
  // Rows 5 and 6 of the twelve, as a chunk of their own.
  inputs[0] = TensorView(built.q.view().row<BFloat16>(5), DType::bf16, {2, built.q.view().shape[1]},
                         built.q.view().row_stride);
  const OwnedTensor two = tensor_of<int32_t>({1}, {2});
  const OwnedTensor kv_len = tensor_of<int32_t>({1}, {35});
  inputs[3] = two.view();
  inputs[4] = kv_len.view();
  const auto chunk = test::run_reference(Op::paged_attention, inputs, built.attrs);
  const TensorView want(all[0].view().row<BFloat16>(5), DType::bf16, chunk[0].view().shape);
  EXPECT_TENSOR_EQ(chunk[0].view(), want, whole.seed);
}

TEST(PagedAttention, ToleranceHoldsAnOnlineFp32SoftmaxAndCatchesAMissedPosition) {
  const AttentionCase c{.q_lens = {1}, .kv_lens = {300}};
  const BuiltAttention built = build_attention(c);
  const auto reference = test::run_reference(Op::paged_attention, built.inputs(), built.attrs);
  const int64_t kv_width = c.num_kv_heads * c.head_dim;
  const auto online = [&](int64_t first) {
    OwnedTensor y(DType::fp32, {1, c.num_heads * c.head_dim});
    for (int64_t h = 0; h < c.num_heads; ++h) {
      float max = -std::numeric_limits<float>::infinity(), total = 0;
      std::vector<float> sums(static_cast<size_t>(c.head_dim));
      for (int64_t p = first; p < 300; ++p) {
        float dot = 0;
        const int64_t base = p * kv_width + h / 3 * c.head_dim;
        for (int64_t d = 0; d < c.head_dim; ++d)
          dot += built.q.view().as<const float>()[h * c.head_dim + d] *
                 built.keys[0].view().as<const float>()[base + d];
        const float score = dot / std::sqrt(static_cast<float>(c.head_dim));
        const float new_max = std::max(max, score);
        const float rescale = std::exp(max - new_max), weight = std::exp(score - new_max);
        max = new_max;
        total = total * rescale + weight;
        for (int64_t d = 0; d < c.head_dim; ++d)
          sums[static_cast<size_t>(d)] =
              sums[static_cast<size_t>(d)] * rescale +
              weight * built.values[0].view().as<const float>()[base + d];
      }
      for (int64_t d = 0; d < c.head_dim; ++d)
        y.view().as<float>()[h * c.head_dim + d] = sums[static_cast<size_t>(d)] / total;
    }
    return y;
  };
  EXPECT_WITHIN_TOLERANCE(Op::paged_attention, built.inputs(), reference, 0, online(0).view(),
                          built.attrs, c.seed);
  EXPECT_FALSE(test::within_tolerance(Op::paged_attention, built.inputs(), reference, 0,
                                      online(1).view(), built.attrs, c.seed));
}

TEST(PagedAttention, CostFollowsTheBlockTables) {
  const AttentionCase c{.q_lens = {1, 1}, .kv_lens = {16, 16}};
  const BuiltAttention built = build_attention(c);
  const OwnedTensor y(c.dtype, built.q.view().shape);
  const std::vector<TensorView> inputs = built.inputs(), outputs = {y.view()};
  const Cost cost = op_def(Op::paged_attention)
                        .cost({.inputs = inputs, .outputs = outputs, .attrs = built.attrs});
  const double kv_len = 2 * 16;  // two blocks of 16 each
  EXPECT_EQ(cost.flops, 4.0 * 2 * kv_len * 6 * 24);
  EXPECT_EQ(cost.bytes, 2 * kv_len * 2 * 2 * 24 * 4 + 2.0 * 2 * 6 * 24 * 4);
}

TEST(PagedAttention, CostOfGivenLengthsIsThatOfThePositionsSeen) {
  const AttentionCase c{.q_lens = {1, 3}, .kv_lens = {9, 5}};
  const BuiltAttention built = build_attention(c);
  const OwnedTensor y(c.dtype, built.q.view().shape);
  const std::vector<TensorView> inputs = built.inputs(), outputs = {y.view()};
  const std::vector<int32_t> q_lens = {1, 3}, kv_lens = {9, 5};
  const Cost cost = paged_attention_cost(
      {.inputs = inputs, .outputs = outputs, .attrs = built.attrs}, q_lens, kv_lens);
  EXPECT_EQ(cost.flops, 4.0 * (9 + 3 + 4 + 5) * 6 * 24);
  EXPECT_EQ(cost.bytes, (9.0 + 5) * 2 * 2 * 24 * 4 + 2.0 * 4 * 6 * 24 * 4);
}

TEST(PagedAttention, CostCountsTheBytesThatTheCacheHolds) {
  for (const auto& [cache_dtype, row_bytes] :
       {std::pair(DType::bf16, 48), {DType::fp8_e4m3, 24}, {DType::int8, 28}}) {
    const AttentionCase c{.q_lens = {1}, .kv_lens = {16}, .cache_dtype = cache_dtype};
    const BuiltAttention built = build_attention(c);
    const OwnedTensor y(c.dtype, built.q.view().shape);
    const std::vector<TensorView> inputs = built.inputs(), outputs = {y.view()};
    EXPECT_EQ(op_def(Op::paged_attention)
                  .cost({.inputs = inputs, .outputs = outputs, .attrs = built.attrs})
                  .bytes,
              32.0 * 2 * 2 * row_bytes + 2.0 * 6 * 24 * 4);
    const OwnedTensor slots = tensor_of<int64_t>({1}, {3});
    const TensorView row(built.keys[0].view().data, c.dtype, {1, 48});
    const std::vector<TensorView> appended = {built.cache.view(), row, row, slots.view()};
    const std::vector<TensorView> cache = {built.cache.view()};
    EXPECT_EQ(op_def(Op::kv_append)
                  .cost({.inputs = appended, .outputs = cache, .attrs = append_attrs(c)})
                  .bytes,
              2.0 * 48 * 4 + 2 * 2 * row_bytes + 8);
  }
}

TEST(KvAppend, RoundsNothingAndLeavesOtherSlotsAlone) {
  const uint64_t seed = 72;
  const OwnedTensor cache = random_tensor(DType::bf16, {4, 2, 1, 8, 4}, seed);
  const OwnedTensor k =
      tensor_of<BFloat16>({1, 4}, {BFloat16(1.0f), BFloat16(2.0f), BFloat16(3.0f), BFloat16(4.0f)});
  const OwnedTensor v =
      tensor_of<BFloat16>({1, 4}, {BFloat16(5.0f), BFloat16(6.0f), BFloat16(7.0f), BFloat16(8.0f)});
  const OwnedTensor slots = tensor_of<int64_t>({1}, {2 * 8 + 3});
  const auto after =
      test::run_reference(Op::kv_append, {cache.view(), k.view(), v.view(), slots.view()},
                          {{"num_kv_heads", int64_t{1}}, {"head_dim", int64_t{4}}});
  const int64_t block = 2 * (2 * 8 * 4);
  // K in pairs of channels: [2 pairs, 8 positions, 2]; V: [8 positions, 4].
  const std::vector<std::pair<int64_t, double>> written = {
      {block + 6, 1},       {block + 7, 2},       {block + 16 + 6, 3},  {block + 16 + 7, 4},
      {block + 32 + 12, 5}, {block + 32 + 13, 6}, {block + 32 + 14, 7}, {block + 32 + 15, 8}};
  OwnedTensor want = test::copy_of(cache.view());
  for (const auto& [at, value] : written) want.view().as<BFloat16>()[at] = BFloat16(float(value));
  EXPECT_TENSOR_EQ(after[0].view(), want.view(), seed);
}

/// One position of one head of four channels, appended to slot 1 of a block of two.
OwnedTensor append_by_hand(DType cache_dtype, const std::vector<float>& k,
                           const std::vector<float>& v, const Attrs& scales) {
  const OwnedTensor cache(cache_dtype, {1, 2, 1, 2, kv_row_extent(cache_dtype, 4)});
  const OwnedTensor k_row = tensor_of<float>({1, 4}, k), v_row = tensor_of<float>({1, 4}, v);
  const OwnedTensor slots = tensor_of<int64_t>({1}, {1});
  Attrs attrs = scales;
  attrs.set("num_kv_heads", int64_t{1});
  attrs.set("head_dim", int64_t{4});
  auto after = test::run_reference(Op::kv_append,
                                   {cache.view(), k_row.view(), v_row.view(), slots.view()}, attrs);
  return std::move(after[0]);
}

std::vector<int> bytes_of(const OwnedTensor& cache) {
  const auto* const bytes = cache.view().as<const uint8_t>();
  return {bytes, bytes + cache.view().num_bytes()};
}

TEST(KvAppend, StoresFp8CodesOfScaledValues) {
  const float nan = std::nanf("");
  // K / 2: 1, -0.5, 500 (cut off at 448), NaN. V / 0.5: 2, 2^-9, 0, -448.
  const OwnedTensor cache =
      append_by_hand(DType::fp8_e4m3, {2, -1, 1000, nan}, {1, 0x1p-10f, 0, -1000},
                     {{"k_scale", 2.0}, {"v_scale", 0.5}});
  EXPECT_EQ(bytes_of(cache), (std::vector<int>{0, 0, 0x38, 0xb0, 0, 0, 0x7e, 0x7f,  // pairs of K
                                               0, 0, 0, 0, 0x40, 0x01, 0, 0xfe}));  // rows of V
}

TEST(KvAppend, StoresInt8CodesAndTheirScale) {
  const OwnedTensor cache = append_by_hand(DType::int8, {254, -127, 3, 1}, {0, 0, 0, 0}, {});
  EXPECT_EQ(bytes_of(cache),
            (std::vector<int>{0, 0, 127, 0xc0, 0, 0, 2, 0,     // pairs of K: -63.5 is even at -64
                              0, 0, 0,   0,    0, 0, 0, 0x40,  // scales of K: 2.0f at slot 1
                              0, 0, 0,   0,    0, 0, 0, 0,     // V
                              0, 0, 0,   0,    0, 0, 0, 0}));
  const OwnedTensor bad =
      append_by_hand(DType::int8, {1, 2, std::nanf(""), 4}, {1, 2, INFINITY, 4}, {});
  const KvLayout layout = KvLayout::of(bad.view());
  for (const int64_t at : {layout.k_scale_index(1, 0), layout.v_scale_index(1, 0)}) {
    float scale;
    std::memcpy(&scale, bad.view().as<const std::byte>() + at, sizeof(scale));
    EXPECT_TRUE(std::isnan(scale));
  }
}

TEST(KvAppend, RoundsFp32ToABf16Cache) {
  const OwnedTensor cache =
      append_by_hand(DType::bf16, {1 + 0x1p-8f, 1 + 0x1.8p-7f, 3, 4}, {5, 6, 7, 0x1.01p0f}, {});
  EXPECT_EQ(test::values_of(cache.view()),
            (std::vector<double>{0, 0, 1, 1 + 0x1p-6, 0, 0, 3, 4, 0, 0, 0, 0, 5, 6, 7, 1}));
}

}  // namespace
}  // namespace veloz::ops
