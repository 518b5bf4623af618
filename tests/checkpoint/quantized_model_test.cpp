// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/quantized_model.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <thread>

#include "checkpoint/checkpoint.h"
#include "fuzz/edits.h"
#include "support/editable_checkpoint.h"
#include "support/expect_error.h"
#include "support/quantized_tensors.h"
#include "support/temp_directory.h"

namespace veloz::checkpoint {
namespace {

namespace fs = std::filesystem;
using test::EditableCheckpoint;
using test::throws_error;

const fs::path kGoldens = fs::path(VELOZ_TEST_DATA_DIR) / "golden" / "quantized";
const std::string kQProj = "model.layers.0.self_attn.q_proj";
const std::string kKProj = "model.layers.1.self_attn.k_proj";

std::vector<std::string> golden_names() {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(kGoldens))
    if (entry.is_directory()) names.push_back(entry.path().filename().string());
  std::ranges::sort(names);
  return names;
}

QuantizedModel open(const fs::path& dir) {
  std::optional<QuantizedModel> model = open_quantized(dir);
  VELOZ_CHECK(model.has_value(), "\"{}\" is not quantized", dir.string());
  return std::move(*model);
}

/// Every byte of every linear: what a build reads.
void read_all(const QuantizedModel& model) {
  for (const auto& [module, scheme] : model.plan.linears)
    test::dequantized(*model.tensors, module, scheme, 5);
}

float rounded(float value, DType dtype) {
  if (dtype == DType::bf16) return static_cast<float>(BFloat16(value));
  return dtype == DType::fp16 ? fp16_to_fp32(fp32_to_fp16(value)) : value;
}

class Goldens : public testing::TestWithParam<std::string> {};

TEST_P(Goldens, DequantizeToWhatTheirOwnLibraryMakes) {
  const QuantizedModel model = open(kGoldens / GetParam());
  const auto expected = SafetensorsFile::open(kGoldens / GetParam() / "expected.safetensors");
  ASSERT_EQ(model.plan.linears.size(), expected.tensors().size());
  for (const auto& [name, entry] : expected.tensors()) {
    const std::string module = name.substr(0, name.rfind('.'));
    std::vector<std::byte> bytes(entry.bytes);
    expected.read(entry, 0, bytes);
    const std::vector<float> wanted = test::fp32_of(*entry.dtype, bytes);
    for (const int64_t rows_at_once : {1, 7, 1000}) {
      std::vector<float> weight =
          test::dequantized(*model.tensors, module, model.plan.linears.at(module), rows_at_once);
      for (float& value : weight) value = rounded(value, *entry.dtype);
      EXPECT_EQ(weight, wanted) << name << ", rows at once: " << rows_at_once;
    }
  }
}

TEST_P(Goldens, SurviveDamageWithAnErrorOrWholeTensors) {
  EditableCheckpoint golden = EditableCheckpoint::read(kGoldens / GetParam());
  const test::TempDirectory temp;
  golden.write(temp.path());
  uint32_t state = 12345;
  const auto random = [&] {
    return static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  };
  for (int round = 0; round < 60; ++round) {
    std::string edits;
    for (int i = 0; i < 24; ++i) edits += random();
    const bool is_modelopt = !golden.hf_quant_config.is_null();
    const char* const file = is_modelopt ? "hf_quant_config.json" : "config.json";
    const std::string good =
        is_modelopt ? golden.hf_quant_config.dump() : golden.quantization().dump();
    std::string damaged = test::edited(good, std::string_view(edits).substr(0, 8));
    if (!is_modelopt) {
      nlohmann::json rest = golden.config;
      rest.erase("quantization_config");
      std::string text = rest.dump();
      text.back() = ',';
      damaged = text + "\"quantization_config\":" + damaged + "}";
    }
    test::write_bytes(temp.path() / file, damaged);
    try {
      if (const auto model = open_quantized(temp.path())) read_all(*model);
    } catch (const Error& e) {
      EXPECT_NE(e.kind(), ErrorKind::internal) << damaged << "\n" << e.message();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Goldens, testing::ValuesIn(golden_names()), [](const auto& golden) {
  std::string name = golden.param;
  std::ranges::replace(name, '-', '_');
  return name;
});

struct PlanCase {
  const char* golden;
  const char* name;
  LinearScheme scheme;
};

/// Weight, group, zeros, scales' dtype.
LinearScheme weight_only(DType weight, int64_t group, bool has_zeros, DType scales) {
  LinearScheme scheme;
  scheme.weight = weight;
  scheme.group = group;
  scheme.has_zeros = has_zeros;
  scheme.scale_dtype = scales;
  return scheme;
}
/// With activations of the weight's dtype (int8 for 4 bits).
LinearScheme with_activations(DType weight, int64_t group = 0, std::optional<double> input = {}) {
  LinearScheme scheme = weight_only(weight, group, false, DType::fp32);
  scheme.activation = weight == DType::fp8_e4m3 ? DType::fp8_e4m3 : DType::int8;
  if (weight == DType::fp8_e4m3) scheme.activation_group = group;
  scheme.input_scale = input;
  return scheme;
}
LinearScheme permuted(LinearScheme scheme) {
  scheme.has_permutation = true;
  return scheme;
}
LinearScheme w4a8() {
  LinearScheme scheme = with_activations(DType::uint4x2, 32);
  scheme.scale_dtype = DType::bf16;
  return scheme;
}

TEST(QuantizedModel, SchemesAreWhatTheConfigsSay) {
  const DType fp8 = DType::fp8_e4m3;
  const DType int8 = DType::int8;
  const DType int4 = DType::uint4x2;
  const DType fp16 = DType::fp16;
  const DType bf16 = DType::bf16;
  const PlanCase cases[] = {
      {"compressed-fp8-static", "fp8 (compressed-tensors)", with_activations(fp8, 0, 0.03125)},
      {"compressed-fp8-dynamic", "fp8 (compressed-tensors)", with_activations(fp8)},
      {"compressed-fp8-block", "fp8 (compressed-tensors)", with_activations(fp8, 32)},
      {"compressed-int8-dynamic", "int8 (compressed-tensors)", with_activations(int8)},
      {"compressed-int8-static", "int8 (compressed-tensors)", with_activations(int8, 0, 0.03125)},
      {"compressed-int8-asymmetric", "int8 (compressed-tensors)", weight_only(int8, 8, true, bf16)},
      {"compressed-w4a16", "int4 (compressed-tensors)", weight_only(int4, 32, false, bf16)},
      {"compressed-w4a16-asymmetric", "int4 (compressed-tensors)",
       weight_only(int4, 10, true, fp16)},
      {"compressed-w8a16", "int8 (compressed-tensors)", weight_only(int8, 0, false, bf16)},
      {"compressed-w8a16-asymmetric", "int8 (compressed-tensors)",
       weight_only(int8, 13, true, fp16)},
      {"compressed-w4a8", "int4 (compressed-tensors)", w4a8()},
      {"compressed-act-order", "int4 (compressed-tensors)",
       permuted(weight_only(int4, 32, false, bf16))},
      {"compressed-mixed", "fp8 + int4 (compressed-tensors)", weight_only(int4, 32, false, bf16)},
      {"modelopt-fp8", "fp8 (modelopt)", with_activations(fp8, 0, 0.0234375)},
      {"modelopt-fp8-row-wise", "fp8 (modelopt)", with_activations(fp8)},
      {"modelopt-fp8-block", "fp8 (modelopt)", weight_only(fp8, 0, false, DType::fp32)},
      {"modelopt-int8-smoothquant", "int8 (modelopt)", with_activations(int8, 0, 0.0625)},
      {"fp8-block", "fp8 (fp8)", with_activations(fp8, 128)},
      {"fp8-static", "fp8 (fp8)", with_activations(fp8, 0, 0.125)},
      {"fp8-dynamic", "fp8 (fp8)", with_activations(fp8)},
      {"awq", "int4 (awq)", weight_only(int4, 32, true, fp16)},
      {"gptq", "int4 (gptq)", weight_only(int4, 32, false, fp16)},
      {"gptq-asymmetric", "int4 (gptq)", weight_only(int4, 32, true, fp16)},
      {"gptq-v2", "int4 (gptq)", weight_only(int4, 32, true, fp16)},
      {"gptq-act-order", "int4 (gptq)", permuted(weight_only(int4, 32, true, fp16))},
      {"gptq-8-bit", "int8 (gptq)", weight_only(int8, 32, false, fp16)},
      {"gptq-8-bit-asymmetric", "int8 (gptq)", permuted(weight_only(int8, 32, true, fp16))},
  };
  EXPECT_EQ(std::size(cases), golden_names().size());
  for (const PlanCase& c : cases) {
    const QuantizedModel model = open(kGoldens / c.golden);
    EXPECT_EQ(model.plan.name, c.name) << c.golden;
    EXPECT_EQ(model.plan.linears.at(kQProj), c.scheme) << c.golden;
  }
}

TEST(QuantizedModel, GroupsByNameAndPatternMayDiffer) {
  const QuantizedModel model = open(kGoldens / "compressed-mixed");
  ASSERT_EQ(model.plan.linears.size(), 2u);
  EXPECT_EQ(model.plan.linears.at(kKProj), with_activations(DType::fp8_e4m3));
  EXPECT_EQ(model.tensors->find("model.layers.0.self_attn.o_proj.weight")->dtype, DType::bf16);
}

TEST(QuantizedModel, ScalesOfTheKvCacheComeByLayer) {
  const QuantizedModel modelopt = open(kGoldens / "modelopt-fp8");
  ASSERT_EQ(modelopt.plan.kv_cache, DType::fp8_e4m3);
  ASSERT_EQ(modelopt.plan.kv_scales.size(), 2u);
  EXPECT_EQ(modelopt.plan.kv_scales[1].k, 2.5);
  EXPECT_EQ(modelopt.plan.kv_scales[1].v, 2.25);
  const QuantizedModel compressed = open(kGoldens / "compressed-fp8-static");
  ASSERT_EQ(compressed.plan.kv_scales.size(), 2u);
  EXPECT_EQ(compressed.plan.kv_scales[0].k, 0.5);
  EXPECT_EQ(compressed.plan.kv_scales[1].v, 1.25);
  EXPECT_EQ(open(kGoldens / "modelopt-fp8-row-wise").plan.kv_cache, std::nullopt);
}

TEST(QuantizedModel, OtherTensorsAreThoseOfTheFiles) {
  const QuantizedModel model = open(kGoldens / "compressed-w4a16");
  EXPECT_EQ(model.tensors->find("model.norm.weight")->dtype, DType::bf16);
  EXPECT_EQ(model.tensors->find(kQProj + ".bias")->shape, Shape({11}));
  const std::vector<std::byte> bias = test::read_tensor(*model.tensors, kQProj + ".bias", 3);
  EXPECT_EQ(test::fp32_of(DType::bf16, bias)[10], 10.0f);
  EXPECT_EQ(model.tensors->find(kQProj + ".weight")->shape, Shape({11, 32}));
  EXPECT_EQ(model.tensors->find(kQProj + ".weight_zero"), std::nullopt);
  EXPECT_EQ(model.tensors->find(kQProj + ".weight_packed"), std::nullopt);
  EXPECT_EQ(model.tensors->find("none"), std::nullopt);
}

TEST(QuantizedModel, AnUnquantizedModelIsNone) {
  EditableCheckpoint golden = EditableCheckpoint::read(kGoldens / "awq");
  golden.config.erase("quantization_config");
  const test::TempDirectory temp;
  golden.write(temp.path());
  EXPECT_FALSE(open_quantized(temp.path()).has_value());
}

TEST(QuantizedModel, ModelOptIsReadFromEitherFile) {
  EditableCheckpoint golden = EditableCheckpoint::read(kGoldens / "modelopt-fp8");
  const test::TempDirectory temp;
  nlohmann::json alone = golden.config;
  golden.config.erase("quantization_config");
  golden.write(temp.path() / "file");
  EXPECT_EQ(open(temp.path() / "file").plan.kv_cache, DType::fp8_e4m3);
  golden.config = alone;
  golden.quantization()["kv_cache_scheme"] = {{"num_bits", 8}, {"type", "float"}};
  golden.hf_quant_config = nullptr;
  golden.write(temp.path() / "config");
  const QuantizedModel model = open(temp.path() / "config");
  EXPECT_EQ(model.plan.kv_cache, DType::fp8_e4m3);
  EXPECT_EQ(model.plan.linears.at(kQProj).input_scale, 0.0234375);
}

TEST(QuantizedModel, MixedModelOptNamesAnAlgorithmForEachModule) {
  EditableCheckpoint golden = EditableCheckpoint::read(kGoldens / "modelopt-fp8");
  golden.hf_quant_config["quantization"]["quant_algo"] = "MIXED_PRECISION";
  golden.hf_quant_config["quantization"]["quantized_layers"] = {
      {kQProj, {{"quant_algo", "FP8_PER_CHANNEL_PER_TOKEN"}}}};
  const test::TempDirectory temp;
  golden.write(temp.path());
  EXPECT_EQ(open(temp.path()).plan.linears.at(kQProj), with_activations(DType::fp8_e4m3));
}

TEST(QuantizedModel, WithoutAnyScalesTheKvCacheHasOnes) {
  EditableCheckpoint golden = EditableCheckpoint::read(kGoldens / "modelopt-fp8");
  for (int i = 0; i < 2; ++i) {
    golden.remove(".k_scale");
    golden.remove(".v_scale");
  }
  const test::TempDirectory temp;
  golden.write(temp.path());
  const QuantPlan plan = open(temp.path()).plan;
  ASSERT_EQ(plan.kv_scales.size(), 2u);
  EXPECT_EQ(plan.kv_scales[0].k, 1.0);
}

TEST(QuantizedModel, ZerosOfTheFirstGptqFormatWrapAround) {
  // Stored 15 is a zero of 16, in four bits 0: as AutoGPTQ computes it.
  EditableCheckpoint golden = EditableCheckpoint::read(kGoldens / "gptq-asymmetric");
  std::ranges::fill(golden.tensor(".qzeros").data, '\xff');
  const test::TempDirectory temp;
  golden.write(temp.path());
  const QuantizedModel model = open(temp.path());
  for (const std::byte zero : test::read_tensor(*model.tensors, kQProj + ".weight_zero", 4))
    EXPECT_EQ(zero, std::byte{0});
}

TEST(QuantizedModel, ManyThreadsReadAlike) {
  const QuantizedModel model = open(kGoldens / "gptq-act-order");
  const LinearScheme scheme = model.plan.linears.at(kQProj);
  const std::vector<float> expected = test::dequantized(*model.tensors, kQProj, scheme, 1000);
  std::atomic<int> num_equal{0};
  {
    const QuantizedModel fresh = open(kGoldens / "gptq-act-order");
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i)
      threads.emplace_back([&, i] {
        num_equal += test::dequantized(*fresh.tensors, kQProj, scheme, 1 + i) == expected ? 1 : 0;
      });
  }
  EXPECT_EQ(num_equal, 8);
}

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
       {"weight_scale\" holds nan at [0, 0]", "positive"}},
      {"compressed-w4a16",
       [](auto& c) { set_first<uint16_t>(c.tensor(".weight_scale"), 0); },
       kCorrupt,
       {"holds 0 at [0, 0]"}},
      {"compressed-w4a16",
       [](auto& c) { set_first<uint16_t>(c.tensor(".weight_scale"), 0xbf80); },
       kCorrupt,
       {"holds -1 at [0, 0]"}},
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
