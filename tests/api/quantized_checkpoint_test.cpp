// SPDX-License-Identifier: Apache-2.0
// A model rounded while it is built, and the same codes and scales written as a checkpoint of
// others and built from there: one engine.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/write_checkpoint.h"
#include "compiler/build.h"
#include "compiler/quant_plan_text.h"
#include "compiler/rtn_source.h"
#include "engine/engine.h"
#include "support/expect_error.h"
#include "support/golden_models.h"
#include "support/temp_directory.h"
#include "veloz/build.h"

namespace veloz {
namespace {

namespace fs = std::filesystem;
using checkpoint::QuantPlan;

std::string text_of(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

std::vector<std::byte> bytes_of(const checkpoint::TensorSource& source, const std::string& name) {
  const checkpoint::TensorInfo info = *source.find(name);
  std::vector<std::byte> bytes(static_cast<size_t>(info.shape.num_elements()) *
                               dtype_bytes(info.dtype));
  source.read_rows(name, 0, info.shape[0], bytes);
  return bytes;
}

/// Writes the linears of `plan`, rounded to nearest, as compressed-tensors has them.
void write_quantized(const fs::path& model, const QuantPlan& plan, const fs::path& output) {
  const checkpoint::Checkpoint floats = checkpoint::Checkpoint::open(model);
  std::map<std::string, compiler::RtnLinear> linears;
  for (const auto& [module, scheme] : plan.linears) linears[module] = {scheme, module + ".weight"};
  const compiler::RtnSource source(floats, linears);
  checkpoint::CheckpointWriter writer =
      checkpoint::CheckpointWriter::create({.source = model, .output = output, .resume_key = {}});
  for (const auto& [module, scheme] : plan.linears) {
    const Shape shape = floats.find(module + ".weight")->shape;
    const std::vector<std::byte> codes = bytes_of(source, module + ".weight");
    const std::vector<std::byte> scales = bytes_of(source, module + ".weight_scale");
    writer.add_linear(module, scheme,
                      {.rows = shape[0],
                       .columns = shape[1],
                       .weight = codes,
                       .scales = scales,
                       .zeros = {},
                       .permutation = {}});
  }
  writer.commit({.kv_cache = {}, .kv_scales = {}, .files = {}, .veloz_json = {}}, {});
}

class QuantizedCheckpoint : public testing::TestWithParam<std::string> {
 protected:
  fs::path in(const char* name) const { return directory_.path() / name; }
  test::TempDirectory directory_;
};

TEST_P(QuantizedCheckpoint, GivesTheEngineOfTheSameCodes) {
  const fs::path model = test::bundled_model("tiny-llama");
  BuildOptions options = test::small_build(model, in("rounded"));
  options.quant = GetParam();
  build(options);
  const QuantPlan plan =
      compiler::parse_quant_plan(text_of(in("rounded") / compiler::kQuantizationFile));
  write_quantized(model, plan, in("checkpoint"));
  build(test::small_build(in("checkpoint"), in("engine")));
  for (const char* file : {"graph.txt", "plan.json", "weights.safetensors"})
    EXPECT_EQ(text_of(in("engine") / file) == text_of(in("rounded") / file), true) << file;
  const engine::Manifest manifest = engine::Engine::open(in("engine")).manifest();
  EXPECT_EQ(manifest.verdict, "UNGATED");
  EXPECT_NE(manifest.quantization->name.find("compressed-tensors"), std::string::npos);
  EXPECT_EQ(manifest.quantization->linears,
            engine::Engine::open(in("rounded")).manifest().quantization->linears);
}

INSTANTIATE_TEST_SUITE_P(Schemes, QuantizedCheckpoint,
                         testing::Values("int8", "int8-a16", "fp8", "fp8-a16", "int4", "int4-a16"),
                         [](const auto& scheme) {
                           std::string name = scheme.param;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

class QuantizedAgain : public QuantizedCheckpoint {};

TEST_P(QuantizedAgain, IsRefused) {
  BuildOptions options = test::small_build(test::bundled_model("tiny-llama"), in("rounded"));
  options.quant = GetParam();
  build(options);
  write_quantized(options.model,
                  compiler::parse_quant_plan(text_of(in("rounded") / compiler::kQuantizationFile)),
                  in("checkpoint"));
  options.model = in("checkpoint");
  options.output = in("engine");
  EXPECT_TRUE(test::throws_error(ErrorKind::invalid_input,
                                 {"is quantized already", "leave out --quant"},
                                 [&] { build(options); }));
}

INSTANTIATE_TEST_SUITE_P(Int8, QuantizedAgain, testing::Values("int8"));

}  // namespace
}  // namespace veloz
