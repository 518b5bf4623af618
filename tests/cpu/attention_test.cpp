// SPDX-License-Identifier: Apache-2.0
#include "cpu/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <optional>
#include <ostream>

#include "base/fp8.h"
#include "kernel_runs.h"
#include "support/attention_case.h"

namespace veloz::cpu {
namespace {

using ops::Op;
using test::AttentionCase;
using test::BuiltAttention;
using test::OwnedTensor;

/// The reference's rows, and how far from each a kernel may be: computed once for all kernels.
class Expected {
 public:
  explicit Expected(const BuiltAttention& built)
      : inputs_(built.inputs()),
        attrs_(built.attrs),
        outputs_(test::run_reference(Op::paged_attention, inputs_, attrs_)),
        views_(test::views_of(outputs_)),
        allowed_(static_cast<size_t>(views_[0].shape.num_elements())) {}

  const TensorView& y() const { return views_[0]; }
  double allowed(int64_t flat) {
    std::optional<double>& bound = allowed_[static_cast<size_t>(flat)];
    if (!bound)
      bound = ops::op_def(Op::paged_attention)
                  .tolerance({.inputs = inputs_, .outputs = views_, .attrs = attrs_}, 0,
                             flat / y().shape[1], flat % y().shape[1]);
    return *bound;
  }

 private:
  std::vector<TensorView> inputs_;
  ops::Attrs attrs_;
  std::vector<OwnedTensor> outputs_;
  std::vector<TensorView> views_;
  std::vector<std::optional<double>> allowed_;
};

/// Of q and of the cache: all that fast kernels take.
struct DTypes {
  DType q;
  DType cache;
};
constexpr DTypes kDTypes[] = {{DType::bf16, DType::bf16}, {DType::bf16, DType::fp8_e4m3},
                              {DType::bf16, DType::int8}, {DType::fp32, DType::fp32},
                              {DType::fp32, DType::bf16}, {DType::fp32, DType::fp8_e4m3},
                              {DType::fp32, DType::int8}};

struct NamedCase {
  const char* name;
  AttentionCase attention;
  bool is_small = false;  // its reference takes no time: for all pairs of dtypes
};

void PrintTo(const NamedCase& c, std::ostream* out) { *out << c.name; }

const NamedCase kCases[] = {
    {"Decode", {.q_lens = {1, 1, 1, 1, 1}, .kv_lens = {1, 17, 64, 255, 31}}, true},
    {"PrefillMultiHead",
     {.num_heads = 3, .num_kv_heads = 3, .head_dim = 8, .q_lens = {61}, .kv_lens = {61}},
     true},
    {"ChunkGroupedQuery",
     {.num_heads = 8, .head_dim = 64, .block_size = 64, .q_lens = {5}, .kv_lens = {300}}},
    {"RaggedMultiQuery",
     {.num_heads = 4,
      .num_kv_heads = 1,
      .head_dim = 80,
      .q_lens = {1, 7, 1, 20},
      .kv_lens = {37, 7, 130, 52}}},
    {"WideHeads",
     {.num_heads = 4, .head_dim = 128, .block_size = 64, .q_lens = {3, 1}, .kv_lens = {257, 99}}},
    {"LongDecodeCutByLeaves",
     {.num_heads = 2, .num_kv_heads = 1, .head_dim = 16, .q_lens = {1, 1}, .kv_lens = {2349, 40}}},
    {"GroupLargerThanAWorkItem",
     {.num_heads = 64, .num_kv_heads = 1, .head_dim = 8, .q_lens = {2}, .kv_lens = {20}},
     true},
    {"BlocksThatStraddleLeaves",
     {.num_heads = 2, .head_dim = 2, .block_size = 48, .q_lens = {9}, .kv_lens = {601}},
     true},
    {"PrefillAcrossLeaves",
     {.num_heads = 2, .num_kv_heads = 1, .head_dim = 24, .q_lens = {290}, .kv_lens = {290}}},
};

class AttentionCases : public ::testing::TestWithParam<NamedCase> {};

TEST_P(AttentionCases, EveryKernelMatchesTheReference) {
  for (const DTypes& dtypes : kDTypes) {
    const bool widens_for_fp32 = dtypes.q == DType::fp32 && dtypes.cache != DType::fp32;
    if (widens_for_fp32 && !GetParam().is_small) continue;
    AttentionCase attention = GetParam().attention;
    attention.dtype = dtypes.q;
    attention.cache_dtype = dtypes.cache;
    const BuiltAttention built = build_attention(attention);
    Expected expected(built);
    int num_kernels = 0;
    for (const ops::Kernel& kernel : kernels_of(Op::paged_attention)) {
      if (!accepts(kernel, built.inputs(), {expected.y()}, built.attrs, "")) continue;
      ++num_kernels;
      const OwnedTensor y(dtypes.q, expected.y().shape, expected.y().shape[1] + 8);
      run_kernel(kernel, built.inputs(), {y.view()}, built.attrs, 3);
      EXPECT_TRUE(test::compare_tensors(
          y.view(), expected.y(), [&](int64_t i) { return expected.allowed(i); }, attention.seed))
          << kernel.name << " " << to_string(dtypes.cache);
      EXPECT_TRUE(y.gaps_untouched()) << kernel.name;
    }
    // One each of portable, AVX2 and AVX-512; bf16 has a second one.
    EXPECT_GE(num_kernels, std::ranges::count_if(runnable_isas(), [](Isa isa) {
                return isa == Isa::portable || isa == Isa::avx2 || isa == Isa::avx512;
              }));
  }
}

INSTANTIATE_TEST_SUITE_P(All, AttentionCases, ::testing::ValuesIn(kCases),
                         [](const auto& test) { return test.param.name; });

/// Tokens [begin, end) of one sequence, computed in one step.
struct Tokens {
  int64_t sequence;
  int64_t begin;
  int64_t end;
};

/// Whole sequences in a cache, of which any tokens can be asked for in any batch.
class Sequences {
 public:
  explicit Sequences(const AttentionCase& attention)
      : built_(build_attention(attention)), num_sequences_(attention.kv_lens.size()) {}

  int64_t q_len(int64_t sequence) const { return built_.q_lens.view().as<int32_t>()[sequence]; }
  int64_t num_sequences() const { return static_cast<int64_t>(num_sequences_); }

  /// Rows of all runs, one after another.
  OwnedTensor compute(const ops::Kernel& kernel, const std::vector<Tokens>& runs,
                      int num_threads) const {
    const TensorView& q = built_.q.view();
    const TensorView& tables = built_.block_tables.view();
    const auto num_runs = static_cast<int64_t>(runs.size());
    std::vector<int32_t> starts, q_lens, kv_lens;
    int32_t num_rows = 0;
    for (const Tokens& run : runs) {
      starts.push_back(num_rows);
      q_lens.push_back(static_cast<int32_t>(run.end - run.begin));
      kv_lens.push_back(static_cast<int32_t>(run.end));
      num_rows += q_lens.back();
    }
    const OwnedTensor step_q(q.dtype, {num_rows, q.shape[1]});
    const OwnedTensor step_tables(DType::int32, {num_runs, tables.shape[1]});
    for (size_t i = 0; i < runs.size(); ++i) {
      const int64_t first = built_.q_starts.view().as<int32_t>()[runs[i].sequence] + runs[i].begin;
      copy_rows(rows_of(q, first, first + q_lens[i]),
                rows_of(step_q.view(), starts[i], starts[i] + q_lens[i]));
      copy_rows(rows_of(tables, runs[i].sequence, runs[i].sequence + 1),
                rows_of(step_tables.view(), static_cast<int64_t>(i), static_cast<int64_t>(i) + 1));
    }
    const OwnedTensor step_starts = test::tensor_of(Shape{num_runs}, starts);
    const OwnedTensor step_q_lens = test::tensor_of(Shape{num_runs}, q_lens);
    const OwnedTensor step_kv_lens = test::tensor_of(Shape{num_runs}, kv_lens);
    OwnedTensor y(q.dtype, step_q.view().shape);
    run_kernel(kernel,
               {step_q.view(), built_.cache.view(), step_starts.view(), step_q_lens.view(),
                step_kv_lens.view(), step_tables.view()},
               {y.view()}, built_.attrs, num_threads);
    return y;
  }

 private:
  static void copy_rows(const TensorView& from, const TensorView& to) {
    for (int64_t row = 0; row < from.shape[0]; ++row)
      std::memcpy(rows_of(to, row, row + 1).data, rows_of(from, row, row + 1).data,
                  static_cast<size_t>(from.shape[1]) * dtype_bytes(from.dtype));
  }

  BuiltAttention built_;
  size_t num_sequences_;
};

/// Some tokens of the sequences, each alone in its step on one thread: what every other step must
/// give, bit for bit.
class Alone {
 public:
  Alone(const Sequences& sequences, const ops::Kernel& kernel)
      : sequences_(sequences), kernel_(kernel) {
    for (int64_t s = 0; s < sequences.num_sequences(); ++s)
      for (const int64_t t : {0, 1, 15, 16, 95, 254, 255, 256, 257, 1000, 2047, 2048})
        if (t < sequences.q_len(s))
          known_.push_back({s, t, sequences.compute(kernel, {{s, t, t + 1}}, 1)});
  }

  void expect_same(const std::vector<Tokens>& runs, int num_threads) const {
    const OwnedTensor y = sequences_.compute(kernel_, runs, num_threads);
    int64_t first_row = 0;
    for (const Tokens& run : runs) {
      for (const Known& token : known_) {
        if (token.sequence != run.sequence || token.t < run.begin || token.t >= run.end) continue;
        const int64_t row = first_row + token.t - run.begin;
        ASSERT_EQ(std::memcmp(rows_of(y.view(), row, row + 1).data, token.y.view().data,
                              token.y.view().num_bytes()),
                  0)
            << "token " << token.t << " of sequence " << run.sequence << " in [" << run.begin
            << ", " << run.end << "), " << runs.size() << " runs, " << num_threads << " threads";
      }
      first_row += run.end - run.begin;
    }
  }

 private:
  struct Known {
    int64_t sequence;
    int64_t t;
    OwnedTensor y;
  };
  const Sequences& sequences_;
  const ops::Kernel& kernel_;
  std::vector<Known> known_;
};

/// A kernel and one of the pairs of dtypes that it takes.
struct KernelOn {
  ops::Kernel kernel;
  DTypes dtypes;
};

void PrintTo(const KernelOn& on, std::ostream* out) { *out << on.kernel.name; }

std::vector<KernelOn> kernels_on_dtypes() {
  std::vector<KernelOn> all;
  for (const ops::Kernel& kernel : kernels_of(Op::paged_attention))
    for (const DTypes& dtypes : kDTypes) {
      const OwnedTensor q(dtypes.q, {1, 8});
      const OwnedTensor cache(dtypes.cache, {1, 2, 1, 16, ops::kv_row_extent(dtypes.cache, 8)});
      const OwnedTensor ints(DType::int32, {1}), table(DType::int32, {1, 1});
      if (accepts(kernel,
                  {q.view(), cache.view(), ints.view(), ints.view(), ints.view(), table.view()},
                  {q.view()}, {}, ""))
        all.push_back({kernel, dtypes});
    }
  return all;
}

class AttentionKernels : public ::testing::TestWithParam<KernelOn> {
 protected:
  const ops::Kernel& kernel() const { return GetParam().kernel; }
  DType dtype() const { return GetParam().dtypes.q; }
  DType cache_dtype() const { return GetParam().dtypes.cache; }
};

TEST_P(AttentionKernels, TokensDoNotDependOnBatchChunksOrThreads) {
  const std::vector<int32_t> lens = {255, 256, 257, 2049};
  const Sequences sequences({.num_heads = 4,
                             .head_dim = 24,
                             .q_lens = lens,
                             .kv_lens = lens,
                             .dtype = dtype(),
                             .cache_dtype = cache_dtype()});
  const Alone alone(sequences, kernel());
  // All the last tokens together, and each alone: on several threads its leaves are shared out.
  std::vector<Tokens> last;
  for (int64_t s = 0; s < 4; ++s) last.push_back({s, sequences.q_len(s) - 1, sequences.q_len(s)});
  for (const int num_threads : {1, 2, 3, 7}) {
    alone.expect_same(last, num_threads);
    for (const Tokens& run : last) alone.expect_same({run}, num_threads);
  }
  // Whole prompts, alone and beside single tokens, chunks and each other.
  for (const int num_threads : {1, 2, 3, 7}) {
    alone.expect_same({{0, 0, 255}}, num_threads);
    alone.expect_same({last[3], {2, 0, 257}, last[0], {1, 100, 256}}, num_threads);
  }
  alone.expect_same({{3, 0, 2049}}, 2);
  for (const int64_t chunk : {1, 7, 48, 100, 256}) {
    for (int64_t begin = 0; begin < 257; begin += chunk)
      alone.expect_same({{2, begin, std::min<int64_t>(begin + chunk, 257)}}, 2);
  }
  for (int64_t begin = 0; begin < 2049; begin += 300)
    alone.expect_same({{3, begin, std::min<int64_t>(begin + 300, 2049)}}, 3);
}

TEST_P(AttentionKernels, WideGroupsDoNotDependOnBatchChunksOrThreads) {
  const std::vector<int32_t> lens = {97, 600};
  const Sequences sequences({.num_heads = 14,
                             .head_dim = 64,
                             .block_size = 64,
                             .q_lens = lens,
                             .kv_lens = lens,
                             .dtype = dtype(),
                             .cache_dtype = cache_dtype()});
  const Alone alone(sequences, kernel());
  for (const int num_threads : {1, 2, 3, 7}) {
    alone.expect_same({{1, 256, 257}}, num_threads);
    alone.expect_same({{1, 250, 260}, {0, 0, 97}}, num_threads);
  }
}

TEST_P(AttentionKernels, ReadNothingThatWasNotWritten) {
  for (const int64_t head_dim : {2, 24, 64}) {
    AttentionCase attention{.head_dim = head_dim,
                            .q_lens = {1, 9, 3},
                            .kv_lens = {5, 9, 300},
                            .dtype = dtype(),
                            .cache_dtype = cache_dtype(),
                            .unwritten = std::nan("")};
    const BuiltAttention around_nan = build_attention(attention);
    attention.unwritten = 0;
    const BuiltAttention around_zero = build_attention(attention);
    const OwnedTensor a(dtype(), around_nan.q.view().shape);
    const OwnedTensor b(dtype(), around_nan.q.view().shape);
    run_kernel(kernel(), around_nan.inputs(), {a.view()}, around_nan.attrs);
    run_kernel(kernel(), around_zero.inputs(), {b.view()}, around_zero.attrs);
    EXPECT_TENSOR_EQ(a.view(), b.view(), attention.seed);
    for (const double value : test::values_of(a.view())) ASSERT_FALSE(std::isnan(value));
  }
}

TEST_P(AttentionKernels, KeepNaNInItsSequenceAndItsHeads) {
  const AttentionCase attention{.q_lens = {1, 4, 1},
                                .kv_lens = {20, 37, 300},
                                .dtype = dtype(),
                                .cache_dtype = cache_dtype()};
  const BuiltAttention built = build_attention(attention);
  const OwnedTensor clean(dtype(), built.q.view().shape), y(dtype(), built.q.view().shape);
  run_kernel(kernel(), built.inputs(), {clean.view()}, built.attrs);
  // Position 34 of the middle sequence, kv head 1: seen by its rows 1, 2, 3 and q heads 3, 4, 5.
  const int64_t slot = built.block_tables.view().row<int32_t>(1)[2] * 16 + 2;
  const OwnedTensor k = test::copy_of(rows_of(built.keys[1].view(), 34, 35));
  test::set_element(k.view(), 24, std::nan(""));
  const OwnedTensor slots = test::tensor_of<int64_t>({1}, {slot});
  test::run_reference_into(
      Op::kv_append,
      {built.cache.view(), k.view(), rows_of(built.values[1].view(), 34, 35), slots.view()},
      {built.cache.view()}, append_attrs(attention));
  run_kernel(kernel(), built.inputs(), {y.view()}, built.attrs);
  for (int64_t row = 0; row < 6; ++row)
    for (int64_t column = 0; column < 6 * 24; ++column) {
      const double got = test::element(y.view(), row * 6 * 24 + column);
      if (row >= 2 && row <= 4 && column >= 3 * 24)
        EXPECT_TRUE(std::isnan(got)) << row << " " << column;
      else
        EXPECT_EQ(got, test::element(clean.view(), row * 6 * 24 + column)) << row << " " << column;
    }
}

TEST_P(AttentionKernels, NeverLookPastTheEndOfAnyOperand) {
  for (const int64_t head_dim : {8, 24, 64}) {
    const AttentionCase attention{.head_dim = head_dim,
                                  .q_lens = {1, 9},
                                  .kv_lens = {17, 290},
                                  .dtype = dtype(),
                                  .cache_dtype = cache_dtype()};
    const BuiltAttention built = build_attention(attention);
    const OwnedTensor y(dtype(), built.q.view().shape);
    std::vector<std::unique_ptr<test::GuardedTensor>> guarded;
    std::vector<TensorView> inputs;
    for (const TensorView& view : built.inputs()) {
      guarded.push_back(std::make_unique<test::GuardedTensor>(view));
      inputs.push_back(guarded.back()->view());
    }
    const test::GuardedTensor guarded_y(y.view());
    run_kernel(kernel(), inputs, {guarded_y.view()}, built.attrs);
    run_kernel(kernel(), built.inputs(), {y.view()}, built.attrs);
    EXPECT_TENSOR_EQ(guarded_y.view(), y.view(), attention.seed);
  }
}

TEST_P(AttentionKernels, DoNothingForNoTokens) {
  const OwnedTensor q(dtype(), {0, 4 * 8});
  const OwnedTensor cache(cache_dtype(), {2, 2, 2, 16, ops::kv_row_extent(cache_dtype(), 8)});
  const OwnedTensor none(DType::int32, {0}), tables(DType::int32, {0, 1});
  run_kernel(kernel(),
             {q.view(), cache.view(), none.view(), none.view(), none.view(), tables.view()},
             {q.view()},
             {{"num_heads", int64_t{4}},
              {"num_kv_heads", int64_t{2}},
              {"head_dim", int64_t{8}},
              {"scale", 0.5}});
}

TEST_P(AttentionKernels, LeaveBlocksThatCutPanelsToTheReference) {
  const AttentionCase attention{.block_size = 8,
                                .q_lens = {1},
                                .kv_lens = {9},
                                .dtype = dtype(),
                                .cache_dtype = cache_dtype()};
  const BuiltAttention built = build_attention(attention);
  EXPECT_FALSE(accepts(kernel(), built.inputs(), {built.q.view()}, built.attrs, ""));
}

/// Their products with 16-bit queries would not fit 32 bits.
TEST_P(AttentionKernels, LeaveHeadsTooWideForIntegersToTheReference) {
  for (const int64_t head_dim : {512, 514}) {
    const AttentionCase attention{.num_heads = 1,
                                  .num_kv_heads = 1,
                                  .head_dim = head_dim,
                                  .q_lens = {1},
                                  .kv_lens = {9},
                                  .dtype = dtype(),
                                  .cache_dtype = cache_dtype()};
    const BuiltAttention built = build_attention(attention);
    const bool is_integer = dtype() == DType::bf16 && cache_dtype() == DType::int8;
    EXPECT_EQ(accepts(kernel(), built.inputs(), {built.q.view()}, built.attrs, ""),
              head_dim <= 512 || !is_integer);
  }
}

/// Beams: single tokens that read the same blocks, here of the same sequence.
TEST_P(AttentionKernels, TokensThatShareBlocksDoNotDependOnEachOther) {
  const std::vector<int32_t> lens = {257, 2049};
  const Sequences sequences({.num_heads = 4,
                             .head_dim = 24,
                             .q_lens = lens,
                             .kv_lens = lens,
                             .dtype = dtype(),
                             .cache_dtype = cache_dtype()});
  const Alone alone(sequences, kernel());
  std::vector<Tokens> beams = {{1, 2048, 2049}, {1, 2047, 2048}, {1, 2048, 2049}, {1, 1000, 1001},
                               {1, 256, 257},   {1, 254, 255},   {0, 256, 257},   {0, 255, 256}};
  for (const int num_threads : {1, 2, 3, 7}) alone.expect_same(beams, num_threads);
  for (int i = 0; i < 3; ++i) beams.insert(beams.end(), beams.begin(), beams.begin() + 4);
  for (const int num_threads : {1, 2, 7}) alone.expect_same(beams, num_threads);
}

TEST_P(AttentionKernels, BeamsReadTheirOwnBlocksWhereTheyPart) {
  const AttentionCase attention{.q_lens = {1, 1, 1, 1},
                                .kv_lens = {600, 600, 600, 590},
                                .dtype = dtype(),
                                .cache_dtype = cache_dtype()};
  const BuiltAttention built = build_attention(attention);
  // All begin with the first one's blocks; of the second leaf the second shares half with it.
  for (const auto& [sequence, num_blocks] : {std::pair(1, 24), {2, 16}, {3, 16}})
    std::copy_n(built.block_tables.view().row<int32_t>(0), num_blocks,
                built.block_tables.view().row<int32_t>(sequence));
  Expected expected(built);
  for (const int num_threads : {1, 3}) {
    const OwnedTensor y(dtype(), expected.y().shape);
    run_kernel(kernel(), built.inputs(), {y.view()}, built.attrs, num_threads);
    EXPECT_TRUE(test::compare_tensors(
        y.view(), expected.y(), [&](int64_t i) { return expected.allowed(i); }, attention.seed));
  }
}

INSTANTIATE_TEST_SUITE_P(All, AttentionKernels, ::testing::ValuesIn(kernels_on_dtypes()),
                         [](const auto& test) {
                           return test_name(test.param.kernel) + "_on_" +
                                  std::string(to_string(test.param.dtypes.cache));
                         });

/// A single position is attended to with weight 1: y is V as the cache holds it.
TEST(QuantizedCache, EveryCodeHasItsValueInEveryKernel) {
  constexpr int64_t kHeadDim = 256;
  constexpr float kScale = 0.25f;
  for (const auto& [kernel, dtypes] : kernels_on_dtypes()) {
    if (dtype_bytes(dtypes.cache) > 1) continue;
    const bool is_fp8 = dtypes.cache == DType::fp8_e4m3;
    const BuiltAttention built = test::build_attention({.num_heads = 1,
                                                        .num_kv_heads = 1,
                                                        .head_dim = kHeadDim,
                                                        .q_lens = {1},
                                                        .kv_lens = {1},
                                                        .dtype = dtypes.q,
                                                        .cache_dtype = dtypes.cache,
                                                        .v_scale = kScale});
    const TensorView& cache = built.cache.view();
    const ops::KvLayout layout = ops::KvLayout::of(cache);
    const int64_t slot = built.block_tables.view().as<int32_t>()[0] * layout.block_size;
    for (int64_t code = 0; code < kHeadDim; ++code)
      cache.as<uint8_t>()[layout.v_index(slot, 0, code)] = static_cast<uint8_t>(code);
    if (!is_fp8)
      std::memcpy(cache.as<std::byte>() + layout.v_scale_index(slot, 0), &kScale, sizeof(kScale));
    const OwnedTensor y(dtypes.q, {1, kHeadDim});
    run_kernel(kernel, built.inputs(), {y.view()}, built.attrs);
    for (int64_t code = 0; code < kHeadDim; ++code) {
      const auto bits = static_cast<uint8_t>(code);
      const double value =
          is_fp8 ? static_cast<float>(std::bit_cast<Fp8E4M3>(bits)) : std::bit_cast<int8_t>(bits);
      const double got = test::element(y.view(), code);
      EXPECT_TRUE(std::isnan(value) ? std::isnan(got) : got == value * kScale)
          << kernel.name << ": code " << code << " is " << got;
    }
  }
}

}  // namespace
}  // namespace veloz::cpu
