// SPDX-License-Identifier: Apache-2.0
#include "profile/advice.h"

#include <gtest/gtest.h>

namespace veloz::profile {
namespace {

constexpr engine::Limits kAdvisedLimits = {.max_num_batched_tokens = 1000,
                                           .max_num_seqs = 10,
                                           .max_model_len = 400,
                                           .block_size = 100};  // 4 blocks a sequence

/// 1,000 bytes for the weights, 500 for steps, 100 for the process, 40 blocks of 50.
constexpr Footprint kFootprint = {.weight_bytes = 1000,
                                  .kv_block_bytes = 50,
                                  .num_kv_blocks = 40,
                                  .arena_bytes = 500,
                                  .process_bytes = 100};

/// With the advised value in place: the most that can be taken.
uint64_t total_with(const Advice& advice) {
  Footprint footprint = kFootprint;
  engine::Limits limits = kAdvisedLimits;
  if (advice.flag == "--kv-cache-memory-bytes") {
    footprint.num_kv_blocks = advice.value / 50;
  } else {
    if (advice.flag == "--max-model-len") limits.max_model_len = advice.value;
    if (advice.flag == "--max-num-batched-tokens")
      footprint.arena_bytes = 500 * static_cast<uint64_t>(advice.value) / 1000;
    footprint.num_kv_blocks = limits.max_blocks_per_seq();
  }
  return footprint.total_bytes();
}

TEST(Advise, SaysNothingWhereItFits) {
  EXPECT_TRUE(advise(kFootprint, kAdvisedLimits, 3600).empty());
}

TEST(Advise, MakesTheCacheSmallerFirst) {
  const std::vector<Advice> advice = advise(kFootprint, kAdvisedLimits, 2000);
  ASSERT_EQ(advice.size(), 1u);
  EXPECT_EQ(advice[0].flag, "--kv-cache-memory-bytes");
  EXPECT_EQ(advice[0].value, 400);  // all that is left of 2,000
  EXPECT_EQ(advice[0].effect, "the cache holds 800 tokens instead of 4000");
  EXPECT_LE(total_with(advice[0]), 2000u);
}

TEST(Advise, ShortensSequencesWhereNotEvenOneFits) {
  const std::vector<Advice> advice = advise(kFootprint, kAdvisedLimits, 1760);
  ASSERT_EQ(advice.size(), 1u);
  EXPECT_EQ(advice[0].flag, "--max-model-len");
  EXPECT_EQ(advice[0].value, 300);
  EXPECT_LE(total_with(advice[0]), 1760u);
}

TEST(Advise, MakesStepsSmallerWhereTheArenaDoesNotFit) {
  const std::vector<Advice> advice = advise(kFootprint, kAdvisedLimits, 1500);
  ASSERT_EQ(advice.size(), 1u);
  EXPECT_EQ(advice[0].flag, "--max-num-batched-tokens");
  EXPECT_EQ(advice[0].value, 400);
  EXPECT_LE(total_with(advice[0]), 1500u);
}

TEST(Advise, NamesQuantizationWhereTheWeightsDoNotFit) {
  const std::vector<Advice> advice = advise(kFootprint, kAdvisedLimits, 900);
  ASSERT_EQ(advice.size(), 1u);
  EXPECT_EQ(advice[0].flag, "");
  EXPECT_NE(advice[0].effect.find("--quant"), std::string::npos);
  EXPECT_NE(advice[0].effect.find("1.76 KiB"), std::string::npos) << advice[0].effect;
}

TEST(Advise, NamesTheLimitsThatAreEnoughOnlyTogether) {
  const std::vector<Advice> advice = advise(kFootprint, kAdvisedLimits, 1150);
  ASSERT_EQ(advice.size(), 1u);
  EXPECT_EQ(advice[0].flag, "");
  for (const char* part : {"1.07 KiB for weights", "steps take 500 B", "one sequence 200 B",
                           "--max-num-batched-tokens", "--max-model-len"})
    EXPECT_NE(advice[0].effect.find(part), std::string::npos) << part << ": " << advice[0].effect;
}

TEST(Advise, EveryFlagIsEnoughOnItsOwn) {
  for (uint64_t memory = 1301; memory < 3600; memory += 7)
    for (const Advice& advice : advise(kFootprint, kAdvisedLimits, memory)) {
      if (advice.flag.empty()) continue;
      EXPECT_LE(total_with(advice), memory) << advice.flag;
    }
}

}  // namespace
}  // namespace veloz::profile
