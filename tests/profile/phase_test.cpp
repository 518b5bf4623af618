// SPDX-License-Identifier: Apache-2.0
#include "profile/phase.h"

#include <gtest/gtest.h>

#include "runtime/check_batch.h"
#include "support/expect_error.h"

namespace veloz::profile {
namespace {

constexpr engine::Limits kLimits = {.max_num_batched_tokens = 64,
                                    .max_num_seqs = 4,
                                    .max_model_len = 40,
                                    .max_logit_rows = 4,
                                    .block_size = 16};
constexpr int64_t kVocab = 11;

TEST(Phase, PrefillIsOneRunOfTokensFromTheStart) {
  const runtime::Batch batch = make_batch(Phase::prefill(18), kLimits, kVocab);
  EXPECT_EQ(batch.num_tokens(), 18);
  EXPECT_EQ(batch.q_starts, std::vector<int32_t>{0});
  EXPECT_EQ(batch.q_lens, std::vector<int32_t>{18});
  EXPECT_EQ(batch.kv_lens, std::vector<int32_t>{18});
  EXPECT_EQ(batch.positions.back(), 17);
  EXPECT_EQ(batch.slots.back(), 17);
  EXPECT_EQ(batch.block_tables, (std::vector<int32_t>{0, 1}));
  EXPECT_EQ(batch.logit_rows, std::vector<int32_t>{17});
}

TEST(Phase, DecodeTakesATokenOfEachSequenceBehindItsContext) {
  const runtime::Batch batch = make_batch(Phase::decode(3, 16), kLimits, kVocab);
  EXPECT_EQ(batch.q_lens, (std::vector<int32_t>{1, 1, 1}));
  EXPECT_EQ(batch.kv_lens, (std::vector<int32_t>{17, 17, 17}));
  EXPECT_EQ(batch.positions, (std::vector<int32_t>{16, 16, 16}));
  EXPECT_EQ(batch.slots, (std::vector<int64_t>{16, 48, 80}));  // two blocks each
  EXPECT_EQ(batch.logit_rows, (std::vector<int32_t>{0, 1, 2}));
}

TEST(Phase, EveryBatchKeepsTheEnginesBounds) {
  for (const Phase& phase : {Phase::prefill(1), Phase::prefill(40), Phase::decode(4, 0),
                             Phase::decode(4, 15), Phase::decode(4, 39)}) {
    SCOPED_TRACE(describe(phase));
    check_phase(phase, kLimits);
    EXPECT_NO_THROW(runtime::check_batch(
        make_batch(phase, kLimits, kVocab), kLimits,
        {.num_kv_blocks = num_kv_blocks(phase, kLimits), .vocab_rows = kVocab}));
  }
}

TEST(Phase, WhatNoStepCanBeIsRefusedWithTheLimitAndTheFlag) {
  const auto refuses = [](const Phase& phase, std::initializer_list<std::string_view> parts) {
    return test::throws_error(ErrorKind::invalid_input, parts,
                              [&] { check_phase(phase, kLimits); });
  };
  EXPECT_TRUE(refuses(Phase::decode(5, 1), {"5 sequences exceed the 4", "--max-num-seqs 5"}));
  EXPECT_TRUE(refuses(Phase::prefill(65), {"65 tokens", "64", "--max-num-batched-tokens 65"}));
  EXPECT_TRUE(refuses(Phase::decode(1, 40), {"41 positions", "40", "--max-model-len 41"}));
  EXPECT_TRUE(refuses(Phase::prefill(0), {"nothing to run"}));
  EXPECT_TRUE(refuses(Phase::decode(1, -1), {"nothing to run"}));
}

TEST(Phase, IsDescribedForPeople) {
  EXPECT_EQ(describe(Phase::prefill(512)), "prefill, 512 tokens");
  EXPECT_EQ(describe(Phase::decode(1, 256)), "decode, 1 sequence at context 256");
  EXPECT_EQ(describe(Phase::decode(4, 0)), "decode, 4 sequences at context 0");
}

}  // namespace
}  // namespace veloz::profile
