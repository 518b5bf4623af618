// SPDX-License-Identifier: Apache-2.0
#include "runtime/decode_graphs.h"

#include <gtest/gtest.h>

#include <vector>

namespace veloz::runtime {
namespace {

Batch decode_batch(int32_t num_seqs, int64_t blocks_per_seq) {
  Batch batch;
  batch.blocks_per_seq = blocks_per_seq;
  for (int32_t s = 0; s < num_seqs; ++s) {
    batch.tokens.push_back(100 + s);
    batch.positions.push_back(s);
    batch.slots.push_back(64 * s + 3);
    batch.q_starts.push_back(s);
    batch.q_lens.push_back(1);
    batch.kv_lens.push_back(s + 1);
    batch.logit_rows.push_back(s);
    for (int32_t b = 0; b < blocks_per_seq; ++b) batch.block_tables.push_back(10 * s + b);
  }
  return batch;
}

engine::Limits limits_of(int64_t max_num_seqs) {
  engine::Limits limits;
  limits.max_num_seqs = max_num_seqs;
  limits.max_num_batched_tokens = 2048;
  limits.max_logit_rows = max_num_seqs;
  limits.max_model_len = 4096;
  limits.block_size = 64;
  return limits;
}

TEST(DecodeBatch, IsOneTokenAndOneRowOfEachSequenceInOrder) {
  EXPECT_TRUE(is_decode(decode_batch(3, 2)));
  Batch with_chunk = decode_batch(3, 2);
  with_chunk.tokens.push_back(1);
  EXPECT_FALSE(is_decode(with_chunk));
  Batch without_row = decode_batch(3, 2);
  without_row.logit_rows.pop_back();
  EXPECT_FALSE(is_decode(without_row));
  Batch in_other_order = decode_batch(2, 2);
  std::swap(in_other_order.logit_rows[0], in_other_order.logit_rows[1]);
  EXPECT_FALSE(is_decode(in_other_order));
}

TEST(DecodeBucket, HoldsTheBatchAndStaysWithinTheLimits) {
  for (const int64_t most : {1, 5, 100, 1000})
    for (int32_t n = 1; n <= most; ++n) {
      const engine::Limits limits = limits_of(most);
      const DecodeBucket bucket = choose_bucket(decode_batch(n, 3), limits);
      EXPECT_GE(bucket.num_seqs, n);
      EXPECT_LE(bucket.num_seqs, most);
      EXPECT_LT(bucket.num_seqs - n, limits.block_size) << "padding has one slot of a block each";
      EXPECT_EQ(bucket.blocks_per_seq, 8);
    }
  EXPECT_EQ(choose_bucket(decode_batch(3, 9), limits_of(64)), (DecodeBucket{8, 16}));
  EXPECT_EQ(choose_bucket(decode_batch(9, 60), limits_of(64)), (DecodeBucket{16, 64}));
  EXPECT_EQ(choose_bucket(decode_batch(65, 1), limits_of(512)), (DecodeBucket{80, 8}));
  EXPECT_EQ(choose_bucket(decode_batch(257, 1), limits_of(512)), (DecodeBucket{320, 8}));
}

TEST(PadDecode, KeepsTheBatchAndSendsTheRestToTheSpareBlock) {
  const Batch batch = decode_batch(3, 2);
  Batch padded = decode_batch(7, 5);  // what an earlier step left
  pad_decode(batch, {.num_seqs = 8, .blocks_per_seq = 4}, /*spare_block=*/99, 64, padded);
  EXPECT_TRUE(is_decode(padded));
  ASSERT_EQ(padded.num_seqs(), 8);
  ASSERT_EQ(padded.block_tables.size(), 32U);
  for (size_t s = 0; s < 3; ++s) {
    EXPECT_EQ(padded.tokens[s], batch.tokens[s]);
    EXPECT_EQ(padded.positions[s], batch.positions[s]);
    EXPECT_EQ(padded.slots[s], batch.slots[s]);
    EXPECT_EQ(padded.kv_lens[s], batch.kv_lens[s]);
    EXPECT_EQ(padded.block_tables[s * 4], batch.block_tables[s * 2]);
    EXPECT_EQ(padded.block_tables[s * 4 + 1], batch.block_tables[s * 2 + 1]);
  }
  for (size_t s = 3; s < 8; ++s) {
    EXPECT_EQ(padded.slots[s] / 64, 99);
    EXPECT_EQ(padded.kv_lens[s], 1);
    EXPECT_EQ(padded.block_tables[s * 4], 99);
  }
}

/// Counts what it is asked to record and to replay.
class CountingStream final : public Stream {
 public:
  explicit CountingStream(bool can_record) : can_record_(can_record) {}
  void synchronize() override {}
  bool begin_recording() override {
    num_recordings += can_record_ ? 1 : 0;
    return can_record_;
  }
  std::unique_ptr<Recording> end_recording() override { return std::make_unique<Recording>(); }
  void replay(Recording&) override { ++num_replays; }

  int num_recordings = 0;
  int num_replays = 0;

 private:
  bool can_record_;
};

TEST(DecodeGraphs, RunABucketOnceThenRecordItAndReplayItFromThereOn) {
  CountingStream stream(true);
  DecodeGraphs graphs(stream);
  int num_enqueued = 0;
  for (int i = 0; i < 5; ++i) graphs.run({8, 8}, [&] { ++num_enqueued; });
  EXPECT_EQ(num_enqueued, 2);
  EXPECT_EQ(stream.num_recordings, 1);
  EXPECT_EQ(stream.num_replays, 4);
  graphs.run({16, 8}, [&] { ++num_enqueued; });
  EXPECT_EQ(num_enqueued, 3) << "another bucket is run as it is first";
  graphs.clear();
  graphs.run({8, 8}, [&] { ++num_enqueued; });
  EXPECT_EQ(num_enqueued, 4);
}

TEST(DecodeGraphs, EnqueueEveryStepWhereTheDeviceCannotRecord) {
  CountingStream stream(false);
  DecodeGraphs graphs(stream);
  int num_enqueued = 0;
  for (int i = 0; i < 4; ++i) graphs.run({8, 8}, [&] { ++num_enqueued; });
  EXPECT_EQ(num_enqueued, 4);
  EXPECT_EQ(stream.num_replays, 0);
}

}  // namespace
}  // namespace veloz::runtime
