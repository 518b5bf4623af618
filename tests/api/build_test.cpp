// SPDX-License-Identifier: Apache-2.0
#include "veloz/build.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "support/expect_error.h"
#include "support/temp_directory.h"
#include "support/tiny_checkpoint.h"

namespace veloz {
namespace {

namespace fs = std::filesystem;
using test::throws_error;

class Build : public testing::Test {
 protected:
  BuildReport build_checkpoint() {
    checkpoint_.write(temp_.path() / "model");
    return build(options_);
  }
  testing::AssertionResult refuses(ErrorKind kind, std::initializer_list<std::string_view> parts) {
    const testing::AssertionResult result = throws_error(kind, parts, [&] { build_checkpoint(); });
    if (result && fs::exists(options_.output))
      return testing::AssertionFailure() << "an engine was left behind";
    return result;
  }
  void set_element(std::string_view tensor, size_t index, float value) {
    std::memcpy(checkpoint_.tensor(tensor).data.data() + index * sizeof(value), &value,
                sizeof(value));
  }

  const test::TempDirectory temp_;
  test::TinyCheckpoint checkpoint_;
  BuildOptions options_{.model = temp_.path() / "model", .output = temp_.path() / "engine"};
};

TEST_F(Build, ReportsWhatItDid) {
  const BuildReport report = build_checkpoint();
  EXPECT_EQ(report.engine, options_.output);
  EXPECT_EQ(report.num_parameters, 40 * 16 * 2 + 16 * 3 + 16 * 16 * 2 + 8 * 16 * 2 + 24 * 16 * 3);
  EXPECT_GE(report.weight_bytes, 4 * static_cast<uint64_t>(report.num_parameters));
  EXPECT_TRUE(report.warnings.empty());
}

TEST_F(Build, WarnsOfNumbersThatAreNoneNamingTheTensor) {
  set_element("lm_head.weight", 7, std::numeric_limits<float>::quiet_NaN());
  set_element("lm_head.weight", 8, std::numeric_limits<float>::quiet_NaN());
  set_element("model.norm.weight", 0, std::numeric_limits<float>::infinity());
  const BuildReport report = build_checkpoint();
  ASSERT_EQ(report.warnings.size(), 2u);
  EXPECT_NE(report.warnings[0].find("\"lm_head.weight\" has 2 NaN and 0 infinite"),
            std::string::npos)
      << report.warnings[0];
  EXPECT_NE(report.warnings[1].find("\"model.norm.weight\" has 0 NaN and 1 infinite"),
            std::string::npos)
      << report.warnings[1];
}

TEST_F(Build, WarnsOfGenerationKeysWithoutEffect) {
  fs::create_directories(options_.model);
  test::write_bytes(options_.model / "generation_config.json", R"({"typical_p": 0.5})");
  const BuildReport report = build_checkpoint();
  ASSERT_EQ(report.warnings.size(), 1u);
  EXPECT_NE(report.warnings[0].find("\"typical_p\""), std::string::npos);
}

TEST_F(Build, RefusesAMissingTensor) {
  std::erase_if(checkpoint_.tensors, [](const auto& t) { return t.name == "model.norm.weight"; });
  EXPECT_TRUE(
      refuses(ErrorKind::not_found, {"tensor \"model.norm.weight\" is missing", "incomplete"}));
}

TEST_F(Build, RefusesATensorOfAnotherShape) {
  checkpoint_.tensor("model.layers.0.mlp.up_proj.weight").shape = {16, 24};
  EXPECT_TRUE(refuses(ErrorKind::invalid_input,
                      {"tensor \"model.layers.0.mlp.up_proj.weight\" has shape [16, 24]",
                       "config.json asks for [24, 16]", "same revision"}));
}

TEST_F(Build, RefusesATensorOfAnotherRank) {
  checkpoint_.tensor("lm_head.weight").shape = {640};
  EXPECT_TRUE(refuses(ErrorKind::invalid_input, {"\"lm_head.weight\" has shape [640]"}));
}

TEST_F(Build, RefusesATensorOfADtypeThatIsNoWeight) {
  test::FileTensor& tensor = checkpoint_.tensor("lm_head.weight");
  tensor.dtype = "I32";
  EXPECT_TRUE(refuses(ErrorKind::unsupported,
                      {"tensor \"lm_head.weight\" has dtype int32", "F32, F16 or BF16"}));
  tensor.dtype = "U32";  // not even one this project can name
  EXPECT_TRUE(refuses(ErrorKind::unsupported, {"tensor \"lm_head.weight\" has dtype U32"}));
}

TEST_F(Build, RefusesABrokenGenerationConfigBeforeItPacks) {
  fs::create_directories(options_.model);
  test::write_bytes(options_.model / "generation_config.json", R"({"top_p": 7})");
  bool has_packed = false;
  options_.on_progress = [&](const Progress&) { has_packed = true; };
  EXPECT_TRUE(refuses(ErrorKind::invalid_input, {"generation_config.json", "\"top_p\" is 7"}));
  EXPECT_FALSE(has_packed);
}

TEST_F(Build, RefusesPositionsBeyondThoseOfTheModel) {
  options_.max_model_len = 65;
  EXPECT_TRUE(refuses(ErrorKind::invalid_input,
                      {"--max-model-len 65 exceeds the 64 positions", "use at most 64"}));
}

TEST_F(Build, RefusesDynamicRopeWhereItWouldApply) {
  checkpoint_.config["rope_scaling"] = {{"rope_type", "dynamic"}, {"factor", 4.0}};
  options_.max_model_len = 128;
  EXPECT_TRUE(refuses(ErrorKind::invalid_input, {"--max-model-len 128", "64", "\"dynamic\""}));
  options_.max_model_len = 0;
  EXPECT_NO_THROW(build_checkpoint());
}

TEST_F(Build, RefusesLimitsThatCannotBe) {
  options_.max_num_seqs = 0;
  EXPECT_TRUE(refuses(ErrorKind::invalid_input, {"--max-num-seqs is 0", "from 1 to 65536"}));
  options_.max_num_seqs = 64;
  options_.block_size = 20;
  EXPECT_TRUE(refuses(ErrorKind::invalid_input, {"--block-size is 20", "multiple of 16"}));
  options_.block_size = 64;
  options_.num_threads = -1;
  EXPECT_TRUE(refuses(ErrorKind::invalid_input, {"-1 threads", "1 to 1024"}));
}

TEST_F(Build, GivesTheSameEngineFromHalfPrecisionFilesWhatTheConfigSays) {
  // The files decide how they are read; the configuration decides the engine's dtype.
  for (test::FileTensor& tensor : checkpoint_.tensors) {
    tensor.dtype = "BF16";
    std::string halves;
    for (size_t i = 2; i < tensor.data.size(); i += 4) halves += tensor.data.substr(i, 2);
    tensor.data = halves;
  }
  EXPECT_NO_THROW(build_checkpoint());
}

TEST_F(Build, ResolvesTheSameCacheEntryForTheSameContentOnly) {
  checkpoint_.write(options_.model);
  const fs::path cache = temp_.path() / "cache";
  const ResolvedEngine first = resolve_engine(options_, cache);
  EXPECT_TRUE(first.was_built);
  EXPECT_FALSE(resolve_engine(options_, cache).was_built);
  BuildOptions slash = options_;
  slash.model += "/";
  EXPECT_EQ(resolve_engine(slash, cache).engine, first.engine);
  set_element("lm_head.weight", 3, 1.0f);
  checkpoint_.write(options_.model);
  const ResolvedEngine changed = resolve_engine(options_, cache);
  EXPECT_TRUE(changed.was_built);
  EXPECT_NE(changed.engine, first.engine);
  EXPECT_FALSE(resolve_engine({.model = first.engine}, cache).was_built);
}

}  // namespace
}  // namespace veloz
