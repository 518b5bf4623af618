// SPDX-License-Identifier: Apache-2.0
#include "cuda/sharing_case.h"
#include "cuda/sim/async_copies.h"

/// What the attention kernels read of the cache.
namespace veloz::cuda {
namespace {

size_t bytes_read(const ops::Kernel& kernel, const SharingCase& c) {
  const GpuAttention gpu = build_sharing(c);
  const size_t before = sim::num_bytes_copied();
  run_attention(kernel, gpu.inputs(), gpu.built.attrs);
  return sim::num_bytes_copied() - before;
}

size_t kv_bytes(size_t positions) { return positions * 2 * 64; }

TEST(AttentionLoads, AreOfEachSequenceWhereNoneAreTakenTogether) {
  SharingCase c;
  add_beams(c, 4, 630);
  EXPECT_EQ(bytes_read(planned_attention<1, 1>(), c), kv_bytes(4 * 630));
}

TEST(AttentionLoads, AreOneOfABlockThatBeamsShare) {
  SharingCase c;
  add_beams(c, 4, 630);  // nine blocks, and one of their own
  EXPECT_EQ(bytes_read(planned_attention<4, 1>(), c), kv_bytes(9 * 64 + 4 * (630 - 9 * 64)));
  EXPECT_EQ(bytes_read(planned_attention<4, 2>(), c), kv_bytes(9 * 64 + 4 * (630 - 9 * 64)));
  EXPECT_EQ(bytes_read(planned_attention<2, 1>(), c), kv_bytes(2 * 9 * 64 + 4 * (630 - 9 * 64)));
}

TEST(AttentionLoads, AreOneOfEveryRunOfNeighboursInAGroup) {
  SharingCase c{.kv_lens = {}, .shared_blocks = {}, .block_size = 16};
  add_beams(c, 1, 64);
  add_beams(c, 3, 128, 0);
  EXPECT_EQ(bytes_read(planned_attention<4, 1>(), c), kv_bytes(64 + 128));
}

TEST(AttentionLoads, AreOfEachSequenceWhoseEntriesDiffer) {
  SharingCase c;
  add_beams(c, 4, 100, 2);
  EXPECT_EQ(bytes_read(planned_attention<4, 1>(), c), kv_bytes(4 * 100));
}

}  // namespace
}  // namespace veloz::cuda
