// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/quantize_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "base/files.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/formats/module_tensors.h"
#include "checkpoint/model_config.h"
#include "checkpoint/quantized_model.h"
#include "compress/quantize/test_machine.h"
#include "support/editable_checkpoint.h"
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
  {
    const QuantizeJob job(options(Recipe::fp8), machine.get());
    EXPECT_TRUE(test::throws_error(ErrorKind::invalid_input, {"another process is writing"},
                                   [&] { QuantizeJob same(options(Recipe::fp8), machine.get()); }));
  }
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
  EXPECT_TRUE(refuses({"is the model that is read"}, chosen));
  chosen.output = chosen.model.parent_path();
  chosen.replaces_existing = true;
  EXPECT_TRUE(refuses({"holds the model that is read"}, chosen));
  chosen = options(Recipe::int8);
  fs::create_directory(chosen.output);
  write_text_file(chosen.output / "letter", "precious");
  chosen.replaces_existing = true;
  EXPECT_TRUE(refuses({"is no model, so it is not replaced"}, chosen));
  write_text_file(chosen.output / "config.json", "{}");
  chosen.replaces_existing = false;
  EXPECT_TRUE(refuses({"holds a model already", "--force"}, chosen));
  EXPECT_FALSE(fs::exists(directory_.path() / "out.unfinished"));
}

TEST_F(QuantizeModel, RefusesWhatTheFormatCannotHoldBeforeItBegins) {
  test::TestMachine machine;
  QuantizeOptions chosen = options(Recipe::int4_gptq);
  chosen.format = checkpoint::QuantFormat::modelopt;
  EXPECT_TRUE(test::throws_error(ErrorKind::unsupported, {"ModelOpt", "compressed-tensors"},
                                 [&] { QuantizeJob job(chosen, machine.get()); }));
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

std::vector<float> fp32_of(const test::FileTensor& tensor) {
  return checkpoint::to_fp32(DType::bf16, std::as_bytes(std::span(tensor.data)));
}

/// RMSNorm of layer 0's input, times its v_proj, of every calibration token.
float largest_value_of_layer_0(test::EditableCheckpoint& model, const CalibrationData& data) {
  const std::vector<float> table = fp32_of(model.tensor("embed_tokens.weight"));
  const std::vector<float> gamma = fp32_of(model.tensor("layers.0.input_layernorm.weight"));
  const std::vector<float> w = fp32_of(model.tensor("layers.0.self_attn.v_proj.weight"));
  const size_t width = gamma.size();
  float largest = 0;
  for (const std::vector<int32_t>& text : data.texts)
    for (const int32_t token : text) {
      const std::span<const float> x =
          std::span(table).subspan(static_cast<size_t>(token) * width, width);
      const float mean =
          std::inner_product(x.begin(), x.end(), x.begin(), 0.0f) / static_cast<float>(width);
      const float inverse = 1 / std::sqrt(mean + 1e-5f);
      for (size_t row = 0; row < w.size(); row += width) {
        float v = 0;
        for (size_t i = 0; i < width; ++i) v += w[row + i] * x[i] * inverse * gamma[i];
        largest = std::max(largest, std::abs(v));
      }
    }
  return largest;
}

TEST_F(QuantizeModel, ScalesOfTheCacheFitTheLargestKeysAndValues) {
  QuantizeOptions chosen = options(Recipe::fp8);
  chosen.quantizes_kv_cache = true;
  const auto model = test::EditableCheckpoint::read(chosen.model);
  fs::copy(chosen.model, directory_.path() / "model");
  chosen.model = directory_.path() / "model";
  chosen.replaces_existing = true;
  /// Of layer 0, one of whose weights is four times as large.
  const auto scales = [&](const char* enlarged) {
    test::EditableCheckpoint changed = model;
    if (enlarged != nullptr) {
      test::FileTensor& weight = changed.tensor(enlarged);
      for (size_t i = 0; i + 1 < weight.data.size(); i += 2) {
        uint16_t bits = 0;
        std::memcpy(&bits, weight.data.data() + i, sizeof(bits));
        if ((bits & 0x7f80) != 0) bits = static_cast<uint16_t>(bits + (2 << 7));
        std::memcpy(weight.data.data() + i, &bits, sizeof(bits));
      }
    }
    changed.write(chosen.model);
    run(chosen);
    const checkpoint::QuantPlan plan = checkpoint::open_quantized(chosen.output)->plan;
    EXPECT_EQ(plan.kv_scales.size(), 4u);
    return plan.kv_scales.at(0);
  };
  const checkpoint::KvScales original = scales(nullptr);
  test::EditableCheckpoint source = model;
  const CalibrationData data =
      load_calibration_data(chosen.calibration, text::load_text_files(chosen.model),
                            checkpoint::load_model_config(chosen.model));
  const double largest = static_cast<double>(largest_value_of_layer_0(source, data));
  EXPECT_NEAR(original.v, largest / 448, 1e-4 * largest / 448);
  const checkpoint::KvScales of_v = scales("layers.0.self_attn.v_proj.weight");
  EXPECT_FLOAT_EQ(static_cast<float>(of_v.v), static_cast<float>(4 * original.v));
  EXPECT_EQ(of_v.k, original.k);
  const checkpoint::KvScales of_k = scales("layers.0.self_attn.k_proj.weight");
  EXPECT_FLOAT_EQ(static_cast<float>(of_k.k), static_cast<float>(4 * original.k));
  EXPECT_EQ(of_k.v, original.v);
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
