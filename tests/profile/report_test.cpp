// SPDX-License-Identifier: Apache-2.0
#include "profile/report.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace veloz::profile {
namespace {

ProfileReport sample_report() {
  const OpTime linear = {.step = 0,
                         .op = ops::Op::linear,
                         .name = "layers.0.attn.qkv",
                         .kernel = "linear/fast",
                         .seconds = 0.004,
                         .work = {{.flops = 2e9, .bytes = 1e8}, Roof::bf16_dot}};
  const OpTime add = {.step = 1,
                      .op = ops::Op::add,
                      .name = "layers.0.out",
                      .kernel = "add/any",
                      .seconds = 0.001,
                      .work = {{.flops = 1e6, .bytes = 1e6}, Roof::fp32_fma}};
  Profile profile{
      .phases = {{Phase::prefill(8), {linear}, 0.005, 0.001},
                 {Phase::decode(2, 16), {add, linear}, 0.008, 0.003}},
      .peaks = {.read_bytes_per_s = 5e10, .fp32_ops_per_s = 2e11, .bf16_ops_per_s = 4e11},
      .num_repeats = 7};
  return {.engine = "a.engine",
          .backend = "2 threads, avx512",
          .profile = std::move(profile),
          .gaps = {std::nullopt,
                   ServingGap{
                       .step_s = 0.008, .sampling_s = 0.0005, .host_s = 0.00025, .num_steps = 11}}};
}

std::vector<std::string> keys(const nlohmann::ordered_json& json) {
  std::vector<std::string> names;
  for (const auto& [key, value] : json.items()) names.push_back(key);
  return names;
}

TEST(ProfileText, HasAHeadingAndATablePerPhase) {
  const std::string text = profile_text(sample_report(), Grouping::kernel);
  for (const char* part :
       {"a.engine on 2 threads, avx512, medians of 7\n",
        "machine: 50.0 GB/s dram_read, 200 GFLOP/s fp32_fma, 400 GFLOP/s bf16_dot\n",
        "\nprefill, 8 tokens: 5.00 ms, 1600.0 tokens/s, 100 % of the roof; 1.00 ms of it outside",
        "\ndecode, 2 sequences at context 16: 8.00 ms, 250.0 tokens/s",
        "between steps 0.50 ms of sampling, 0.25 ms of the host\n", "lost ms/token"})
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
}

TEST(ProfileText, RowsSayTimeWorkRatesAndRoof) {
  const std::string text = profile_text(sample_report(), Grouping::kernel);
  const size_t begin = text.find("\nadd ") + 1;
  const std::string row = text.substr(begin, text.find('\n', begin) - begin);
  EXPECT_EQ(row,
            "add     add/any          1  1.000     12 %    1.00  0.001   1.0        1  dram_read  "
            "    2 %          0.490");
}

TEST(ProfileText, ShowsResultsWhereGroupedByName) {
  const std::string text = profile_text(sample_report(), Grouping::name);
  EXPECT_NE(text.find("layers.*.attn.qkv"), std::string::npos);
  EXPECT_NE(text.find("result"), std::string::npos);
}

TEST(ProfileJson, HasStableKeys) {
  using Names = std::vector<std::string>;
  const nlohmann::ordered_json json = profile_json(sample_report(), Grouping::kernel);
  EXPECT_EQ(keys(json), (Names{"engine", "backend", "repeats", "peaks", "phases"}));
  EXPECT_EQ(keys(json["peaks"]),
            (Names{"dram_read_gb_per_s", "fp32_fma_gop_per_s", "bf16_dot_gop_per_s"}));
  EXPECT_EQ(keys(json["phases"][1]),
            (Names{"phase", "batch_size", "new_tokens", "context", "step_ms", "ops_ms", "host_ms",
                   "tokens_per_s", "bytes", "flops", "gb_per_s", "gflop_per_s", "roof_ms",
                   "percent_of_roof", "between_steps", "groups"}));
  EXPECT_EQ(keys(json["phases"][1]["groups"][0]),
            (Names{"op", "kernel", "steps", "ms", "bytes", "flops", "gb_per_s", "gflop_per_s",
                   "roof", "roof_ms", "percent_of_roof", "lost_ms_per_token"}));
}

TEST(ProfileJson, HoldsTheFiguresOfTheTable) {
  const nlohmann::ordered_json json = profile_json(sample_report(), Grouping::step);
  const nlohmann::ordered_json& prefill = json["phases"][0];
  EXPECT_TRUE(prefill["between_steps"].is_null());
  EXPECT_EQ(prefill["phase"], "prefill");
  EXPECT_EQ(prefill["step_ms"], 5);
  EXPECT_EQ(prefill["roof_ms"], 5);
  const nlohmann::ordered_json& linear = prefill["groups"][0];
  EXPECT_EQ(linear["name"], "layers.0.attn.qkv");
  EXPECT_EQ(linear["ms"], 4);
  EXPECT_EQ(linear["gb_per_s"], 25);
  EXPECT_EQ(linear["gflop_per_s"], 500);
  EXPECT_EQ(linear["roof"], "bf16_dot");
  EXPECT_EQ(linear["percent_of_roof"], 125);
  EXPECT_EQ(linear["lost_ms_per_token"], 0);
  EXPECT_EQ(json["phases"][1]["between_steps"]["sampling_ms"], 0.5);
}

}  // namespace
}  // namespace veloz::profile
