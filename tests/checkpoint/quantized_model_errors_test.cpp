// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <initializer_list>
#include <limits>
#include <span>
#include <string_view>

#include "quantized_goldens.h"
#include "support/editable_checkpoint.h"
#include "support/expect_error.h"
#include "support/temp_directory.h"

namespace veloz::checkpoint {
namespace {

using test::EditableCheckpoint;
using test::throws_error;

struct BadCase {
  const char* golden;
  std::function<void(EditableCheckpoint&)> damage;
  ErrorKind kind;
  std::initializer_list<std::string_view> parts;
};

void expect_refused(std::span<const BadCase> cases) {
  for (size_t i = 0; i < cases.size(); ++i) {
    const BadCase& c = cases[i];
    EditableCheckpoint golden = EditableCheckpoint::read(kGoldens / c.golden);
    c.damage(golden);
    const test::TempDirectory temp;
    golden.write(temp.path());
    EXPECT_TRUE(throws_error(c.kind, c.parts, [&] { read_all(open(temp.path())); }))
        << c.golden << ", case " << i;
  }
}

nlohmann::json& group_0(EditableCheckpoint& c) {
  return c.quantization()["config_groups"]["group_0"];
}
nlohmann::json& modelopt(EditableCheckpoint& c) { return c.hf_quant_config["quantization"]; }

/// Overwrites the first element.
template <typename T>
void set_first(test::FileTensor& tensor, T value) {
  std::memcpy(tensor.data.data(), &value, sizeof(value));
}

constexpr ErrorKind kUnsupported = ErrorKind::unsupported;
constexpr ErrorKind kInvalid = ErrorKind::invalid_input;
constexpr ErrorKind kCorrupt = ErrorKind::corrupt_data;
constexpr ErrorKind kMissing = ErrorKind::not_found;

TEST(QuantizedModel, RefusesMethodsItDoesNotRead) {
  const BadCase cases[] = {
      {"awq",
       [](auto& c) { c.quantization()["quant_method"] = "bitsandbytes"; },
       kUnsupported,
       {"\"quant_method\" is \"bitsandbytes\"", "modelopt, compressed-tensors, fp8, awq, gptq"}},
      {"awq", [](auto& c) { c.quantization().erase("quant_method"); }, kUnsupported, {"none"}},
      {"awq", [](auto& c) { c.quantization() = "awq"; }, kInvalid, {"must be an object"}},
      {"awq", [](auto& c) { c.quantization()["quant_method"] = "gptq"; }, kInvalid, {"scales"}},
      {"fp8-block",
       [](auto& c) { c.quantization()["quant_method"] = "awq"; },
       kInvalid,
       {"says awq", "no module has a tensor \"qweight\""}},
  };
  expect_refused(cases);
}

TEST(QuantizedModel, RefusesCompressedTensorsThatCannotBe) {
  const BadCase cases[] = {
      {"compressed-w4a16",
       [](auto& c) { c.remove(".weight_scale"); },
       kMissing,
       {"0.self_attn.q_proj.weight_scale\" is missing"}},
      {"compressed-w4a16", [](auto& c) { c.remove(".weight_shape"); }, kMissing, {"weight_shape"}},
      {"compressed-w4a16-asymmetric",
       [](auto& c) { c.remove(".weight_zero_point"); },
       kMissing,
       {"weight_zero_point"}},
      {"compressed-fp8-static",
       [](auto& c) { c.remove(".input_scale"); },
       kMissing,
       {"input_scale"}},
      {"compressed-w4a16",
       [](auto& c) { group_0(c)["weights"]["group_size"] = 16; },
       kInvalid,
       {"weight_scale\" has shape [11, 2], it must be [11, 4]", "group size"}},
      {"compressed-w4a16",
       [](auto& c) { group_0(c)["weights"]["group_size"] = 48; },
       kInvalid,
       {"groups of 48 do not divide the 64 columns"}},
      {"compressed-w4a16",
       [](auto& c) { group_0(c)["weights"]["num_bits"] = 8; },
       kInvalid,
       {"weight_packed\" has shape [11, 8], it must be [11, 16]"}},
      {"compressed-w4a16",
       [](auto& c) { group_0(c)["weights"]["num_bits"] = 3; },
       kUnsupported,
       {"\"num_bits\" is 3", "4, 8"}},
      {"compressed-w4a16",
       [](auto& c) { set_first<int64_t>(c.tensor(".weight_shape"), -4); },
       kCorrupt,
       {"extent -4"}},
      {"compressed-w4a16",
       [](auto& c) { set_first<int64_t>(c.tensor(".weight_shape"), 12); },
       kInvalid,
       {"weight_packed"}},
      {"compressed-w4a16",
       [](auto& c) { set_first<uint16_t>(c.tensor(".weight_scale"), 0x7fc0); },
       kCorrupt,
       {"weight_scale\" holds nan at [0, 0]", "a number other than 0"}},
      {"compressed-w4a16",
       [](auto& c) { set_first<uint16_t>(c.tensor(".weight_scale"), 0); },
       kCorrupt,
       {"holds 0 at [0, 0]"}},
      {"compressed-fp8-dynamic",
       [](auto& c) { set_first<uint16_t>(c.tensor(".weight_scale"), 0xbf80); },
       kCorrupt,
       {"holds -1 at [0, 0]", "a positive number"}},
      {"compressed-w4a16",
       [](auto& c) { set_first<uint16_t>(c.tensor(".weight_scale"), 0x7f80); },
       kCorrupt,
       {"holds inf"}},
      {"compressed-fp8-static",
       [](auto& c) { set_first<uint16_t>(c.tensor(".input_scale"), 0x8000); },
       kCorrupt,
       {"input_scale\" holds -0"}},
      {"compressed-w4a8",
       [](auto& c) { c.tensor(".weight").data[0] = 8; },
       kCorrupt,
       {"holds 8 in row 0", "-8 to 7"}},
      {"compressed-int8-dynamic",
       [](auto& c) { c.tensor(".weight").dtype = "U8"; },
       kInvalid,
       {"no module has"}},
      {"compressed-int8-dynamic",
       [](auto& c) { group_0(c)["weights"]["type"] = "float"; },
       kInvalid,
       {"weight\" has dtype int8, its format has fp8_e4m3"}},
      {"compressed-int8-dynamic",
       [](auto& c) { c.quantization()["ignore"] = {kQProj}; },
       kInvalid,
       {kQProj, "ignores it"}},
      {"compressed-int8-dynamic",
       [](auto& c) { group_0(c)["targets"] = {"re:.*k_proj"}; },
       kInvalid,
       {kQProj, "no group"}},
      {"compressed-int8-dynamic",
       [](auto& c) { group_0(c)["targets"] = {"re:.*(k_proj"}; },
       kInvalid,
       {"config_groups \"group_0\"", "wrong at byte"}},
      {"compressed-act-order",
       [](auto& c) { set_first<int32_t>(c.tensor(".weight_g_idx"), 2); },
       kInvalid,
       {"column 0 into group 2 of 2"}},
      {"compressed-act-order",
       [](auto& c) { c.remove(".weight_g_idx"); },
       kMissing,
       {"0.self_attn.q_proj.weight_g_idx\" is missing"}},
      {"compressed-act-order",
       [](auto& c) { group_0(c)["weights"]["actorder"] = "columns"; },
       kUnsupported,
       {"\"actorder\" is \"columns\"", "group, weight"}},
  };
  expect_refused(cases);
}

TEST(QuantizedModel, RefusesCompressedTensorsItDoesNotCompute) {
  const BadCase cases[] = {
      {"compressed-w4a16",
       [](auto& c) { c.quantization()["format"] = "nvfp4-pack-quantized"; },
       kUnsupported,
       {"\"format\" is \"nvfp4-pack-quantized\"", "pack-quantized"}},
      {"compressed-w4a16",
       [](auto& c) {
         c.quantization()["sparsity_config"] = {{"format", "sparse-24-bitmask"}};
       },
       kUnsupported,
       {"sparsity_config"}},
      {"compressed-w4a16",
       [](auto& c) {
         group_0(c)["output_activations"] = {{"num_bits", 8}};
       },
       kUnsupported,
       {"output_activations"}},
      {"compressed-w4a16",
       [](auto& c) { group_0(c)["weights"]["strategy"] = "tensor_group"; },
       kUnsupported,
       {"\"strategy\" is \"tensor_group\""}},
      {"compressed-int8-dynamic",
       [](auto& c) { group_0(c)["input_activations"]["symmetric"] = false; },
       kUnsupported,
       {"\"symmetric\" is false", "activations"}},
      {"compressed-int8-dynamic",
       [](auto& c) { group_0(c)["input_activations"]["dynamic"] = "local"; },
       kUnsupported,
       {"\"dynamic\" is \"local\""}},
      {"compressed-int8-dynamic",
       [](auto& c) { group_0(c)["input_activations"]["type"] = "float"; },
       kUnsupported,
       {kQProj, "int8 weights with fp8 activations"}},
      {"compressed-w4a8",
       [](auto& c) { group_0(c)["weights"]["group_size"] = 16; },
       kUnsupported,
       {"int4 weights in groups of 16", "multiple of 32"}},
      {"compressed-fp8-static",
       [](auto& c) { c.quantization()["kv_cache_scheme"]["type"] = "int"; },
       kUnsupported,
       {"kv_cache_scheme"}},
  };
  expect_refused(cases);
}

TEST(QuantizedModel, RefusesModelOptThatCannotBeRead) {
  const BadCase cases[] = {
      {"modelopt-fp8",
       [](auto& c) { modelopt(c)["quant_algo"] = "NVFP4"; },
       kUnsupported,
       {"\"NVFP4\"", "FP8_PER_CHANNEL_PER_TOKEN"}},
      {"modelopt-fp8",
       [](auto& c) { modelopt(c)["quant_algo"] = nullptr; },
       kUnsupported,
       {"quant_algo"}},
      {"modelopt-fp8",
       [](auto& c) { modelopt(c)["kv_cache_quant_algo"] = "NVFP4"; },
       kUnsupported,
       {"\"NVFP4\"", "FP8, null"}},
      {"modelopt-fp8", [](auto& c) { c.remove(".input_scale"); }, kMissing, {"input_scale"}},
      {"modelopt-fp8",
       [](auto& c) { c.remove("q_proj.weight_scale"); },
       kMissing,
       {"weight_scale"}},
      {"modelopt-fp8",
       [](auto& c) { c.remove("0.self_attn.k_proj.k_scale"); },
       kMissing,
       {"layer 0 has no k_scale"}},
      {"modelopt-fp8",
       [](auto& c) { modelopt(c)["exclude_modules"] = {"model.layers.?.self*"}; },
       kInvalid,
       {kQProj, "model.layers.?.self*"}},
      {"modelopt-fp8",
       [](auto& c) { set_first<float>(c.tensor("q_proj.weight_scale"), 0.0f); },
       kCorrupt,
       {"weight_scale\" holds 0"}},
      {"modelopt-fp8",
       [](auto& c) { c.tensor("q_proj.weight").data[25] = '\x7f'; },
       kCorrupt,
       {"q_proj.weight\" holds NaN at [1, 1]"}},
      {"modelopt-fp8-row-wise",
       [](auto& c) {
         c.tensor("q_proj.weight_scale").shape = {1, 11};
       },
       kInvalid,
       {"weight_scale\" has shape [1, 11], it must be a single number, [11] or [11, 1]"}},
      {"modelopt-int8-smoothquant",
       [](auto& c) {
         test::FileTensor scale = c.tensor(".weight_scale");
         scale.name = kQProj + ".pre_quant_scale";
         c.tensors.push_back(scale);
       },
       kUnsupported,
       {"pre_quant_scale"}},
      {"modelopt-fp8-block",
       [](auto& c) { modelopt(c)["group_size"] = 64; },
       kInvalid,
       {"weight_scale\" has shape [2, 1, 1, 1], it must be [3, 2]"}},
  };
  expect_refused(cases);
}

TEST(QuantizedModel, RefusesModulesThatMixedModelOptDoesNotName) {
  const BadCase cases[] = {{"modelopt-fp8",
                            [](auto& c) {
                              modelopt(c)["quant_algo"] = "MIXED_PRECISION";
                              modelopt(c)["quantized_layers"] = {{kKProj, {{"quant_algo", "FP8"}}}};
                            },
                            kInvalid,
                            {kQProj, "\"quantized_layers\" leaves the module out"}}};
  expect_refused(cases);
}

TEST(QuantizedModel, RefusesFp8ThatCannotBeRead) {
  const BadCase cases[] = {
      {"fp8-block", [](auto& c) { c.remove(".weight_scale_inv"); }, kMissing, {"weight_scale_inv"}},
      {"fp8-block",
       [](auto& c) {
         c.quantization()["weight_block_size"] = {64, 128};
       },
       kInvalid,
       {"weight_scale_inv\" has shape [2, 2], it must be [3, 2]"}},
      {"fp8-block",
       [](auto& c) { c.quantization()["weight_block_size"] = {128}; },
       kUnsupported,
       {"weight_block_size"}},
      {"fp8-block",
       [](auto& c) {
         c.quantization()["weight_block_size"] = {128, 0};
       },
       kInvalid,
       {"weight_block_size"}},
      {"fp8-block",
       [](auto& c) {
         c.quantization()["weight_block_size"] = {128, 96};
       },
       kInvalid,
       {"groups of 96 do not divide the 256 columns"}},
      {"fp8-block",
       [](auto& c) { c.quantization()["activation_scheme"] = "static"; },
       kUnsupported,
       {"activation_scheme", "dynamic"}},
      {"fp8-block", [](auto& c) { c.quantization()["fmt"] = "e5m2"; }, kUnsupported, {"\"e5m2\""}},
      {"fp8-block",
       [](auto& c) { c.tensor("q_proj.weight").dtype = "F8_E5M2"; },
       kUnsupported,
       {"F8_E5M2"}},
      {"fp8-static", [](auto& c) { c.remove(".input_scale"); }, kMissing, {"input_scale"}},
      {"fp8-dynamic",
       [](auto& c) { c.quantization()["kv_cache_scheme"] = "dynamic"; },
       kUnsupported,
       {"kv_cache_scheme", "static"}},
      {"fp8-dynamic",
       [](auto& c) {
         c.quantization()["kv_cache_scheme"] = {{"num_bits", 8}, {"type", "int"}};
       },
       kInvalid,
       {"kv_cache_scheme", "a string"}},
      {"fp8-dynamic",
       [](auto& c) { c.quantization()["activation_scheme"] = "token"; },
       kUnsupported,
       {"\"token\"", "dynamic, static"}},
  };
  expect_refused(cases);
}

TEST(QuantizedModel, RefusesAwqAndGptqThatCannotBeRead) {
  const BadCase cases[] = {
      {"awq", [](auto& c) { c.quantization()["bits"] = 8; }, kUnsupported, {"\"bits\" is 8"}},
      {"awq", [](auto& c) { c.quantization()["version"] = "gemv"; }, kUnsupported, {"\"gemv\""}},
      {"awq",
       [](auto& c) { c.quantization()["zero_point"] = false; },
       kUnsupported,
       {"zero_point"}},
      {"awq",
       [](auto& c) { c.quantization()["group_size"] = 48; },
       kInvalid,
       {"scales\" has shape [3, 16], it must be [2, 16]"}},
      {"awq", [](auto& c) { c.quantization()["group_size"] = 0; }, kUnsupported, {"group_size"}},
      {"awq", [](auto& c) { c.remove(".qzeros"); }, kMissing, {"qzeros"}},
      {"awq",
       [](auto& c) { c.tensor(".qweight").dtype = "F32"; },
       kInvalid,
       {"qweight\" has dtype fp32, its format has int32"}},
      {"awq",
       [](auto& c) { set_first<uint16_t>(c.tensor(".scales"), 0x7e00); },
       kCorrupt,
       {"scales\" holds nan"}},
      {"gptq", [](auto& c) { c.quantization()["bits"] = 3; }, kUnsupported, {"\"bits\" is 3"}},
      {"gptq",
       [](auto& c) { c.quantization()["bits"] = 8; },
       kInvalid,
       {"groups of 32 do not divide the 48 columns"}},
      {"gptq",
       [](auto& c) { c.quantization()["checkpoint_format"] = "marlin"; },
       kUnsupported,
       {"\"marlin\"", "gptq, gptq_v2"}},
      {"gptq",
       [](auto& c) {
         c.quantization()["dynamic"] = {{"+:.*", {{"bits", 8}}}};
       },
       kUnsupported,
       {"dynamic"}},
      {"gptq",
       [](auto& c) { c.quantization()["checkpoint_format"] = "gptq_v2"; },
       kCorrupt,
       {"qzeros\" holds a zero of 7, symmetric codes have 8"}},
      {"gptq-asymmetric",
       [](auto& c) { c.quantization()["sym"] = true; },
       kCorrupt,
       {"symmetric codes have 8"}},
      {"gptq-act-order",
       [](auto& c) { set_first<int32_t>(c.tensor(".g_idx"), 3); },
       kInvalid,
       {"into group 3 of 3"}},
      {"gptq-act-order",
       [](auto& c) { set_first<int64_t>(c.tensor(".g_idx"), 0); },
       kInvalid,
       {"columns into group"}},
      {"gptq-act-order",
       [](auto& c) { c.remove(".g_idx"); },
       kMissing,
       {"q_proj.g_idx\" is missing"}},
      {"gptq-act-order",
       [](auto& c) {
         c.tensor(".g_idx").shape = {48, 2};
       },
       kInvalid,
       {"g_idx\" has shape [48, 2], it must be [96]"}},
  };
  expect_refused(cases);
}

}  // namespace
}  // namespace veloz::checkpoint
