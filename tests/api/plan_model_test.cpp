// SPDX-License-Identifier: Apache-2.0
#include "api/plan_model.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "api/profile_engine.h"
#include "support/expect_error.h"
#include "support/temp_directory.h"

namespace veloz::api {
namespace {

const std::filesystem::path kModel = std::filesystem::path(VELOZ_MODELS_DIR) / "tiny-llama";

PlanRequest request_for(const std::filesystem::path& model) {
  PlanRequest request;
  request.build.model = model;
  request.build.max_model_len = 256;
  request.llm.num_threads = 2;
  request.llm.kv_cache_size = KvCacheSize::of_free_memory;
  request.memory_bytes = uint64_t{1} << 30;
  request.peaks = {.read_bytes_per_s = 5e10, .fp32_ops_per_s = 2e11};
  return request;
}

TEST(PlanModel, SaysTheSameOfAModelAndOfTheEngineBuiltFromIt) {
  const test::TempDirectory directory;
  PlanRequest request = request_for(kModel);
  const profile::PlanReport of_model = plan_model(request);
  BuildOptions options = request.build;
  options.output = request.build.model = directory.path() / "engine";
  build(options);
  const profile::PlanReport of_engine = plan_model(request);
  EXPECT_EQ(of_model.limits, of_engine.limits);
  EXPECT_EQ(of_model.footprint.total_bytes(), of_engine.footprint.total_bytes());
  ASSERT_EQ(of_model.speeds.size(), of_engine.speeds.size());
  for (size_t i = 0; i < of_model.speeds.size(); ++i)
    EXPECT_EQ(of_model.speeds[i].step_s, of_engine.speeds[i].step_s);
}

TEST(PlanModel, TheCacheFollowsTheFlags) {
  PlanRequest request = request_for(kModel);
  const profile::Footprint wide = plan_model(request).footprint;
  request.llm.max_num_seqs = 2;
  const profile::Footprint narrow = plan_model(request).footprint;
  // Four times what all sequences of 256 positions need, in blocks of 64.
  EXPECT_EQ(wide.num_kv_blocks, 4 * 64 * 4);
  EXPECT_EQ(narrow.num_kv_blocks, 4 * 2 * 4);
  request.llm.kv_cache_memory_bytes = narrow.kv_block_bytes * 10 + 1;
  EXPECT_EQ(plan_model(request).footprint.num_kv_blocks, 10);
  request.llm.max_num_seqs = 65;
  EXPECT_TRUE(test::throws_error(ErrorKind::invalid_input, {"--max-num-seqs", "65"},
                                 [&] { static_cast<void>(plan_model(request)); }));
}

TEST(PlanModel, AModelThatDoesNotFitIsNoError) {
  PlanRequest request = request_for(kModel);
  request.memory_bytes = 1000;
  const profile::PlanReport report = plan_model(request);
  EXPECT_FALSE(report.fits());
  EXPECT_EQ(report.footprint.num_kv_blocks, 4);  // a server wants room for one sequence
}

TEST(PlanModel, NeedsNoWeights) {
  const test::TempDirectory directory;
  std::filesystem::copy(kModel / "config.json", directory.path() / "config.json");
  const profile::PlanReport report = plan_model(request_for(directory.path()));
  EXPECT_GT(report.footprint.weight_bytes, uint64_t{1} << 20);
  EXPECT_EQ(report.footprint.text_bytes, 0u);
}

TEST(ParsePeaks, ReadsGigaPerSecond) {
  const profile::MachinePeaks peaks = parse_peaks("fp32_fma=200,dram_read=48.5,int8_dot=900");
  EXPECT_EQ(peaks.read_bytes_per_s, 48.5e9);
  EXPECT_EQ(peaks.fp32_ops_per_s, 200e9);
  EXPECT_EQ(peaks.bf16_ops_per_s, 0);
  EXPECT_EQ(peaks.int8_ops_per_s, 900e9);
}

TEST(ParsePeaks, SaysWhatIsWrong) {
  const auto refuses = [](std::string_view text, std::string_view part) {
    return test::throws_error(ErrorKind::invalid_input, {"--peaks", part, "veloz doctor"},
                              [&] { static_cast<void>(parse_peaks(text)); });
  };
  EXPECT_TRUE(refuses("dram_read=48", "fp32_fma is missing"));
  EXPECT_TRUE(refuses("fp32_fma=48", "dram_read is missing"));
  EXPECT_TRUE(refuses("dram=48", "there is no limit \"dram\""));
  for (const char* text : {"dram_read", "dram_read=", "dram_read=x", "dram_read=1x", "dram_read=-1",
                           "dram_read=nan", "dram_read=inf", "dram_read=0", ",", "=,="})
    EXPECT_TRUE(refuses(text, "is not NAME=RATE")) << text;
}

TEST(ChoosePhases, TakesAsMuchOfTheDefaultsAsTheEngineAllows) {
  const engine::Limits limits = {
      .max_num_batched_tokens = 128, .max_num_seqs = 8, .max_model_len = 100, .block_size = 16};
  using profile::Phase;
  EXPECT_EQ(choose_phases({}, limits),
            (std::vector<Phase>{Phase::prefill(100), Phase::decode(1, 99), Phase::decode(4, 99)}));
}

TEST(ChoosePhases, TakesWhatIsGivenOrRefusesIt) {
  const engine::Limits limits = {
      .max_num_batched_tokens = 128, .max_num_seqs = 8, .max_model_len = 100, .block_size = 16};
  using profile::Phase;
  EXPECT_EQ(choose_phases({.batch_sizes = {8}, .prefill = 0, .context = 7}, limits),
            std::vector<Phase>{Phase::decode(8, 7)});
  EXPECT_TRUE(test::throws_error(ErrorKind::invalid_input, {"--max-model-len 101"}, [&] {
    static_cast<void>(choose_phases({.batch_sizes = {}, .prefill = {}, .context = 100}, limits));
  }));
}

}  // namespace
}  // namespace veloz::api
