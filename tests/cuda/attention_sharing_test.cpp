// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <string>
#include <tuple>

#include "base/philox.h"
#include "cuda/sharing_case.h"
#include "ops/element.h"

/// A sequence that decodes gets the same bits whichever neighbours a thread block takes along, and
/// whatever they share.
namespace veloz::cuda {
namespace {

using test::OwnedTensor;

struct Heads {
  const char* name;
  int64_t num_heads;
  int64_t num_kv_heads;
  int64_t head_dim;
};

SharingCase case_of(const Heads& heads, DType cache) {
  return {.kv_lens = {},
          .shared_blocks = {},
          .num_heads = heads.num_heads,
          .num_kv_heads = heads.num_kv_heads,
          .head_dim = heads.head_dim,
          .cache_dtype = cache};
}

OwnedTensor run(const ops::Kernel& kernel, const GpuAttention& gpu) {
  return run_attention(kernel, gpu.inputs(), gpu.built.attrs);
}

void expect_same(const OwnedTensor& y, const OwnedTensor& want, const std::string& what) {
  for (int64_t row = 0; row < want.view().shape[0]; ++row)
    EXPECT_TRUE(is_same_row(y, want, row)) << what << ", sequence " << row;
}

void expect_same_in_every_plan(const SharingCase& c, const std::string& what) {
  const GpuAttention gpu = build_sharing(c);
  const OwnedTensor want = run(planned_attention<1, 1>(), gpu);
  expect_same(run(planned_attention<2, 1>(), gpu), want, what + ", by twos");
  expect_same(run(planned_attention<2, 3>(), gpu), want, what + ", by twos, split");
  if (c.num_heads / c.num_kv_heads * 4 > kRowBlock) return;
  expect_same(run(planned_attention<3, 1>(), gpu), want, what + ", by threes");
  expect_same(run(planned_attention<4, 1>(), gpu), want, what + ", by fours");
  expect_same(run(planned_attention<4, 2>(), gpu), want, what + ", by fours, split");
}

class AttentionSharing : public ::testing::TestWithParam<std::tuple<Heads, DType>> {
 protected:
  static SharingCase empty_case() {
    return case_of(std::get<0>(GetParam()), std::get<1>(GetParam()));
  }
};

TEST_P(AttentionSharing, OfBeamsChangesNoBit) {
  for (const int num_beams : {2, 3, 4, 5}) {
    SharingCase c = empty_case();
    add_beams(c, num_beams, 131 + num_beams);
    expect_same_in_every_plan(c, std::to_string(num_beams) + " beams");
  }
}

TEST_P(AttentionSharing, OfMixedRequestsChangesNoBit) {
  SharingCase c = empty_case();
  add_beams(c, 1, 70);
  add_beams(c, 4, 531, 2);  // a second leaf
  add_beams(c, 3, 64);
  add_beams(c, 2, 1);
  expect_same_in_every_plan(c, "1, 4, 3 and 2 beams");
}

constexpr Heads kHeads[] = {{"MultiHead64", 2, 2, 64},    {"Grouped2Of64", 2, 1, 64},
                            {"Grouped4Of128", 4, 1, 128}, {"Grouped8Of64", 8, 1, 64},
                            {"MultiHead128", 1, 1, 128},  {"MultiHead256", 1, 1, 256}};
INSTANTIATE_TEST_SUITE_P(Cuda, AttentionSharing,
                         ::testing::Combine(::testing::ValuesIn(kHeads),
                                            ::testing::Values(DType::bf16, DType::fp8_e4m3)),
                         kCaseAndCacheName);

TEST(AttentionSharingOfBlocks, OfManyBeamsChangesNoBit) {
  for (const int num_beams : {8, 16}) {
    SharingCase c = {};
    add_beams(c, num_beams, 150);
    expect_same_in_every_plan(c, std::to_string(num_beams) + " beams");
  }
}

/// Any lengths, and any entries in common: prefixes of several lengths, blocks further on, holes.
TEST(AttentionSharingOfBlocks, ChangesNoBitWhateverIsShared) {
  for (const int64_t block_size : {16, 32, 48, 64, 128})
    for (uint32_t seed = 0; seed < 6; ++seed) {
      uint32_t drawn = 0;
      const auto draw = [&](uint32_t below) {
        return philox4x32({drawn++, seed, 3, 3}, {static_cast<uint32_t>(block_size), 0})[0] % below;
      };
      SharingCase c{.kv_lens = {},
                    .shared_blocks = {},
                    .num_heads = seed % 2 == 0 ? 1 : 2,
                    .block_size = block_size,
                    .cache_dtype = seed % 3 == 0 ? DType::bf16 : DType::fp8_e4m3};
      const uint32_t num_seqs = 1 + draw(9);
      for (uint32_t s = 0; s < num_seqs; ++s) {
        const bool is_as_before = s > 0 && draw(3) > 0;
        c.kv_lens.push_back(is_as_before
                                ? c.kv_lens.back()
                                : static_cast<int32_t>(1 + draw(draw(4) == 0 ? 600 : 200)));
        c.shared_blocks.push_back(0);
      }
      GpuAttention gpu = build_sharing(c);
      const TensorView& tables = gpu.built.block_tables.view();
      for (int64_t s = 1; s < tables.shape[0]; ++s) {
        const int32_t kv_len = c.kv_lens[static_cast<size_t>(s)];
        const int32_t before = c.kv_lens[static_cast<size_t>(s - 1)];
        const int64_t most = kv_len <= before ? ceil_div(kv_len, block_size) : before / block_size;
        const uint32_t odds = draw(5);
        for (int64_t b = 0; b < most; ++b)
          if (draw(4) < odds) tables.row<int32_t>(s)[b] = tables.row<int32_t>(s - 1)[b];
      }
      const OwnedTensor want = run(planned_attention<1, 1>(), gpu);
      const std::string what = fmt::format("blocks of {}, seed {}", block_size, seed);
      expect_same(run(planned_attention<2, 1>(), gpu), want, what);
      expect_same(run(planned_attention<3, 2>(), gpu), want, what);
      expect_same(run(planned_attention<4, 1>(), gpu), want, what);
      expect_same(run(planned_attention<4, 8>(), gpu), want, what);
    }
}

TEST(AttentionSharingOfBlocks, MatchesTheReference) {
  for (const DType cache : {DType::bf16, DType::fp8_e4m3}) {
    SharingCase c{.kv_lens = {}, .shared_blocks = {}, .num_heads = 2, .cache_dtype = cache};
    add_beams(c, 4, 141);
    add_beams(c, 2, 20);
    const GpuAttention gpu = build_sharing(c);
    const std::vector<TensorView> inputs = gpu.built.inputs();
    const std::vector<OwnedTensor> want =
        test::run_reference(ops::Op::paged_attention, inputs, gpu.built.attrs);
    const std::vector<TensorView> wanted = test::views_of(want);
    const ops::OpCall call{.inputs = inputs, .outputs = wanted, .attrs = gpu.built.attrs};
    const int64_t columns = wanted[0].shape[1];
    const OwnedTensor y = run(planned_attention<4, 1>(), gpu);
    EXPECT_TRUE(test::compare_tensors(
        y.view(), wanted[0],
        [&](int64_t i) {
          if (i % 23 != 0) return 0x1p-7;  // the op's tolerance takes long to compute
          return ops::op_def(ops::Op::paged_attention).tolerance(call, 0, i / columns, i % columns);
        },
        0));
  }
}

/// A request whose numbers overflowed harms nobody else.
TEST(AttentionSharingOfBlocks, KeepsASequencesNanFromItsNeighbours) {
  for (const DType cache : {DType::bf16, DType::fp8_e4m3}) {
    SharingCase c{.kv_lens = {}, .shared_blocks = {}, .cache_dtype = cache};
    add_beams(c, 4, 190);
    const GpuAttention gpu = build_sharing(c);
    const TensorView& blocks = gpu.cache.view();
    const int64_t block_elements = blocks.shape.num_elements() / blocks.shape[0];
    const int64_t own_block = gpu.built.block_tables.view().row<int32_t>(1)[2];
    for (int64_t i = 0; i < block_elements; ++i)
      test::set_element(blocks, own_block * block_elements + i, std::nan(""));
    const OwnedTensor want = run(planned_attention<1, 1>(), gpu);
    const OwnedTensor y = run(planned_attention<4, 1>(), gpu);
    for (const int64_t row : {0, 2, 3}) EXPECT_TRUE(is_same_row(y, want, row)) << row;
    EXPECT_TRUE(std::isfinite(ops::load_element(y.view(), 0, 0)));
    EXPECT_TRUE(std::isnan(ops::load_element(y.view(), 1, 0)));
  }
}

/// The shorter of two that share a block sees nothing of what the longer one has behind.
TEST(AttentionSharingOfBlocks, ShowsASequenceNothingBeyondItsLength) {
  for (const DType cache : {DType::bf16, DType::fp8_e4m3}) {
    const SharingCase c{.kv_lens = {100, 90, 90}, .shared_blocks = {0, 2, 2}, .cache_dtype = cache};
    const GpuAttention gpu = build_sharing(c);
    const TensorView& blocks = gpu.cache.view();
    const int64_t half_elements = blocks.shape[3] * blocks.shape[4];
    const int64_t block = gpu.built.block_tables.view().row<int32_t>(0)[1];
    for (const int64_t half : {0, 1})
      for (int64_t i = (90 - 64) * blocks.shape[4]; i < (100 - 64) * blocks.shape[4]; ++i)
        test::set_element(blocks, (block * 2 + half) * half_elements + i, std::nan(""));
    const OwnedTensor want = run(planned_attention<1, 1>(), gpu);
    const OwnedTensor y = run(planned_attention<4, 1>(), gpu);
    for (const int64_t row : {1, 2}) {
      EXPECT_TRUE(is_same_row(y, want, row)) << row;
      EXPECT_TRUE(std::isfinite(ops::load_element(y.view(), row, 0))) << row;
    }
  }
}

}  // namespace
}  // namespace veloz::cuda
