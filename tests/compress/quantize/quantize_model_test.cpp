// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/quantize_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "base/files.h"
#include "checkpoint/checkpoint.h"
#include "compress/quantize/test_machine.h"
#include "support/expect_error.h"
#include "support/temp_directory.h"

namespace veloz::compress {
namespace {

namespace fs = std::filesystem;

class QuantizeModel : public testing::Test {
 protected:
  QuantizeOptions options(Recipe recipe, const char* model = "tiny-llama") const {
    QuantizeOptions options;
    options.model = fs::path(VELOZ_MODELS_DIR) / model;
    options.output = directory_.path() / "out";
    options.recipe.recipe = recipe;
    options.recipe.group_size = 32;
    options.calibration = {.files = {options.model / "calib.jsonl"}, .num_samples = 8};
    return options;
  }

  void run(const QuantizeOptions& options, int num_threads = 2) const {
    test::TestMachine machine(num_threads);
    QuantizeJob job(options, machine.get());
    job.calibrate({}, {});
    job.write(job.smallest(), options.output, {});
    job.clean_up();
  }

  std::map<std::string, std::string> files_of_output() const {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::directory_iterator(directory_.path() / "out"))
      files[entry.path().filename().string()] = read_text_file(entry.path(), uint64_t{1} << 30);
    return files;
  }

  const test::TempDirectory directory_;
};

TEST_F(QuantizeModel, WritesWhatTheRecipeSays) {
  run(options(Recipe::int8_smoothquant, "tiny-gptj"));
  const auto checkpoint = checkpoint::Checkpoint::open(directory_.path() / "out");
  const auto dtype = [&](const char* name) { return checkpoint.find(name)->dtype; };
  EXPECT_EQ(dtype("transformer.h.0.attn.q_proj.weight"), DType::int8);
  EXPECT_EQ(dtype("transformer.h.3.mlp.fc_out.weight"), DType::int8);
  EXPECT_EQ(dtype("transformer.wte.weight"), DType::bf16);
  EXPECT_EQ(dtype("lm_head.weight"), DType::bf16);
  EXPECT_EQ(dtype("transformer.h.0.ln_1.weight"), DType::bf16);
  EXPECT_FALSE(fs::exists(directory_.path() / "out.unfinished"));
}

TEST_F(QuantizeModel, ThreadsDoNotShow) {
  for (const Recipe recipe : {Recipe::int4_awq, Recipe::int4_gptq}) {
    run(options(recipe), 1);
    const auto one = files_of_output();
    fs::remove_all(directory_.path() / "out");
    run(options(recipe), 3);
    EXPECT_TRUE(one == files_of_output()) << to_string(recipe);
    fs::remove_all(directory_.path() / "out");
  }
}

TEST_F(QuantizeModel, AnInterruptedRunGoesOnBehindItsLastLayer) {
  const QuantizeOptions chosen = options(Recipe::fp8);
  run(chosen);
  const auto whole = files_of_output();
  fs::remove_all(chosen.output);

  test::TestMachine machine;
  {
    QuantizeJob job(chosen, machine.get());
    const fs::path second = job.work_directory() / "layer-00001.safetensors";
    EXPECT_TRUE(test::throws_error(ErrorKind::cancelled, {"interrupted"},
                                   [&] { job.calibrate({}, [&] { return fs::exists(second); }); }));
  }
  QuantizeJob job(chosen, machine.get());
  job.calibrate({}, {});
  EXPECT_EQ(job.num_resumed_layers(), 2);
  job.write(job.smallest(), chosen.output, {});
  EXPECT_TRUE(whole == files_of_output());
}

TEST_F(QuantizeModel, AnotherCommandDoesNotGoOnWithIt) {
  test::TestMachine machine;
  const QuantizeJob job(options(Recipe::fp8), machine.get());
  EXPECT_TRUE(test::throws_error(ErrorKind::invalid_input, {"another command", "--restart"},
                                 [&] { QuantizeJob other(options(Recipe::int8), machine.get()); }));
  QuantizeOptions anew = options(Recipe::int8);
  anew.restarts = true;
  const QuantizeJob other(anew, machine.get());
}

TEST_F(QuantizeModel, KeptLinearsStayAsTheyWere) {
  QuantizeOptions chosen = options(Recipe::int8);
  chosen.kept = {"*.layers.0.*", "*.down_proj"};
  run(chosen);
  const auto checkpoint = checkpoint::Checkpoint::open(chosen.output);
  EXPECT_EQ(checkpoint.find("model.layers.0.self_attn.q_proj.weight")->dtype, DType::bf16);
  EXPECT_EQ(checkpoint.find("model.layers.2.mlp.down_proj.weight")->dtype, DType::bf16);
  EXPECT_EQ(checkpoint.find("model.layers.2.mlp.up_proj.weight")->dtype, DType::int8);
}

TEST_F(QuantizeModel, RefusesWhatCannotBeBeforeItBegins) {
  test::TestMachine machine;
  const auto refuses = [&](std::initializer_list<std::string_view> parts,
                           const QuantizeOptions& chosen) {
    return test::throws_error(ErrorKind::invalid_input, parts,
                              [&] { QuantizeJob job(chosen, machine.get()); });
  };
  QuantizeOptions chosen = options(Recipe::int4_awq);
  chosen.recipe.group_size = 96;
  EXPECT_TRUE(
      refuses({"--group-size 96 does not divide the 256 columns of model.layers.0."}, chosen));
  chosen = options(Recipe::int8);
  chosen.kept = {"*.q_porj"};
  EXPECT_TRUE(refuses({"--keep \"*.q_porj\" matches no linear", "model.layers.0"}, chosen));
  chosen.kept = {"*"};
  EXPECT_TRUE(refuses({"nothing is quantized"}, chosen));
  chosen = options(Recipe::int8);
  chosen.output = chosen.model;
  EXPECT_TRUE(refuses({"the output is the model itself"}, chosen));
  chosen.output = directory_.path();
  EXPECT_TRUE(refuses({"exists", "--force"}, chosen));
  EXPECT_FALSE(fs::exists(directory_.path() / "out.unfinished"));
}

TEST_F(QuantizeModel, ATiedHeadCannotBeQuantized) {
  test::TestMachine machine;
  QuantizeOptions chosen = options(Recipe::int8);
  chosen.includes_lm_head = true;
  EXPECT_TRUE(test::throws_error(ErrorKind::unsupported, {"lm_head", "embedding"},
                                 [&] { QuantizeJob job(chosen, machine.get()); }));
}

TEST_F(QuantizeModel, AHeadOfItsOwnCan) {
  QuantizeOptions chosen = options(Recipe::int8, "tiny-gptj");
  chosen.includes_lm_head = true;
  run(chosen);
  const auto checkpoint = checkpoint::Checkpoint::open(chosen.output);
  EXPECT_EQ(checkpoint.find("lm_head.weight")->dtype, DType::int8);
}

TEST_F(QuantizeModel, AutoOffersEachGroupItsTreatments) {
  test::TestMachine machine;
  QuantizeJob job(options(Recipe::automatic), machine.get());
  job.calibrate({}, {});
  ASSERT_EQ(job.groups().size(), 16u);  // of 4 layers: qkv, o, gate and up, down
  for (const GroupChoice& group : job.groups()) {
    EXPECT_LT(group.stored_bytes[0], group.stored_bytes[1]);
    EXPECT_LT(group.stored_bytes[1], group.original_bytes);
    EXPECT_GT(group.output_error[0], group.output_error[1]);
  }
  Assignment assignment = job.smallest();
  assignment[0] = 1;
  assignment[3] = std::nullopt;
  job.write(assignment, directory_.path() / "out", {});
  const auto checkpoint = checkpoint::Checkpoint::open(directory_.path() / "out");
  EXPECT_EQ(checkpoint.find("model.layers.0.self_attn.q_proj.weight")->dtype, DType::int8);
  EXPECT_EQ(checkpoint.find("model.layers.0.mlp.down_proj.weight")->dtype, DType::bf16);
  const auto kept = job.kept(assignment);
  EXPECT_EQ(kept, std::vector<std::string>{"model.layers.0.mlp.down_proj"});
  const auto reports = job.reports(assignment);
  EXPECT_EQ(reports.size(), 27u);
  EXPECT_EQ(reports.front().treatment, "int8");
}

}  // namespace
}  // namespace veloz::compress
