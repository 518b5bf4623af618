// SPDX-License-Identifier: Apache-2.0
#include "profile/plan_report.h"

#include <gtest/gtest.h>

namespace veloz::profile {
namespace {

PlanReport sample_report(uint64_t memory_bytes) {
  return {.model = "tiny",
          .backend = "2 threads, avx2",
          .limits = {.max_num_batched_tokens = 256,
                     .max_num_seqs = 8,
                     .max_model_len = 128,
                     .block_size = 64},
          .footprint = {.weight_bytes = 1 << 20,
                        .kv_block_bytes = 1 << 10,
                        .num_kv_blocks = 100,
                        .arena_bytes = 1 << 18,
                        .process_bytes = 1 << 21},
          .memory_bytes = memory_bytes,
          .peaks = {.read_bytes_per_s = 5e10, .fp32_ops_per_s = 2e11},
          .are_peaks_given = true,
          .speeds = {{.phase = Phase::decode(4, 16), .step_s = 0.02, .roof = Roof::dram_read}}};
}

TEST(PlanText, SaysWhatEachPartTakesAndThatItFits) {
  const std::string text = plan_text(sample_report(1 << 30));
  for (const char* part :
       {"tiny on 2 threads, avx2\n", "weights    1048576  1.00 MiB",
        "100 blocks of 1.00 KiB for 6400 tokens", "a step of 256 tokens of 8 sequences",
        "fits: 3.35 MiB of 1.00 GiB\n", "decode, 4 sequences at context 16", "200.0  dram_read",
        "machine (as given): 50.0 GB/s dram_read, 200 GFLOP/s fp32_fma\n"})
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
}

TEST(PlanText, NamesTheLimitToChangeWhereItDoesNotFit) {
  const std::string text = plan_text(sample_report((1 << 20) + (1 << 21) + (1 << 18) + 10240));
  EXPECT_NE(text.find("does not fit: 3.35 MiB are needed"), std::string::npos) << text;
  EXPECT_NE(text.find("hint: --kv-cache-memory-bytes 10240: the cache holds 640 tokens"),
            std::string::npos)
      << text;
}

TEST(PlanJson, HasStableKeysAndTheSameFigures) {
  const nlohmann::ordered_json json = plan_json(sample_report(1000));
  std::vector<std::string> keys;
  for (const auto& [key, value] : json.items()) keys.push_back(key);
  EXPECT_EQ(keys, (std::vector<std::string>{"model", "backend", "limits", "memory",
                                            "memory_available_bytes", "fits", "advice", "peaks",
                                            "peaks_from", "speed"}));
  EXPECT_EQ(json["memory"]["total_bytes"], (1 << 20) + 100 * 1024 + (1 << 18) + (1 << 21));
  EXPECT_EQ(json["fits"], false);
  EXPECT_EQ(json["advice"].size(), 1u);
  EXPECT_EQ(json["speed"][0]["tokens_per_s"], 200);
  EXPECT_EQ(json["peaks_from"], "given");
}

}  // namespace
}  // namespace veloz::profile
