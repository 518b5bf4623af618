// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/quantized_model.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <thread>

#include "checkpoint/checkpoint.h"
#include "fuzz/edits.h"
#include "quantized_goldens.h"
#include "support/editable_checkpoint.h"
#include "support/expect_error.h"
#include "support/quantized_tensors.h"
#include "support/temp_directory.h"

namespace veloz::checkpoint {
namespace {

namespace fs = std::filesystem;
using test::EditableCheckpoint;
using test::throws_error;

std::vector<std::string> golden_names() {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(kGoldens))
    if (entry.is_directory()) names.push_back(entry.path().filename().string());
  std::ranges::sort(names);
  return names;
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

// As repositories of before 2024 have it.
TEST(QuantizedModel, AutoGptqAndAutoAwqAreReadFromTheirOwnFiles) {
  struct Case {
    const char* golden;
    const char* file;
    nlohmann::json names;  // what the file calls a key of config.json
  };
  const Case cases[] = {
      {"gptq-act-order", "quantize_config.json", nlohmann::json::object()},
      {"awq", "quant_config.json", {{"bits", "w_bit"}, {"group_size", "q_group_size"}}},
      {"awq", "quantize_config.json", {{"quant_method", "quant_method"}}}};
  for (const Case& c : cases) {
    SCOPED_TRACE(std::string(c.golden) + " " + c.file);
    EditableCheckpoint golden = EditableCheckpoint::read(kGoldens / c.golden);
    nlohmann::json file;
    for (const auto& [key, value] : golden.quantization().items())
      if (key != "quant_method" || c.names.contains(key)) file[c.names.value(key, key)] = value;
    golden.config.erase("quantization_config");
    const test::TempDirectory temp;
    golden.write(temp.path());
    EXPECT_FALSE(open_quantized(temp.path()).has_value());
    test::write_bytes(temp.path() / c.file, file.dump());
    const QuantPlan expected = open(kGoldens / c.golden).plan;
    const QuantPlan plan = open(temp.path()).plan;
    EXPECT_EQ(plan.name, expected.name);
    EXPECT_TRUE(plan.linears == expected.linears);
    file["bits"] = 3;
    test::write_bytes(temp.path() / c.file, file.dump());
    EXPECT_TRUE(throws_error(ErrorKind::unsupported, {c.file, "\"bits\" is 3"},
                             [&] { open_quantized(temp.path()); }));
  }
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

TEST(QuantizedModel, WithoutAnyScalesTheKvCacheHasNone) {
  EditableCheckpoint golden = EditableCheckpoint::read(kGoldens / "modelopt-fp8");
  for (int i = 0; i < 2; ++i) {
    golden.remove(".k_scale");
    golden.remove(".v_scale");
  }
  const test::TempDirectory temp;
  golden.write(temp.path());
  const QuantPlan plan = open(temp.path()).plan;
  EXPECT_EQ(plan.kv_cache, DType::fp8_e4m3);
  EXPECT_TRUE(plan.kv_scales.empty());
}

TEST(QuantizedModel, NamesThatAreAllEndingAreNoScalesOfTheKvCache) {
  EditableCheckpoint golden = EditableCheckpoint::read(kGoldens / "modelopt-fp8");
  test::FileTensor scale = golden.tensor(".v_scale");
  scale.name = "v_proj.output_scale";
  golden.tensors.push_back(scale);
  const test::TempDirectory temp;
  golden.write(temp.path());
  EXPECT_EQ(open(temp.path()).plan.kv_scales.size(), 2u);
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

/// AutoRound's symmetric scales have the sign that lets the code -8 be the largest weight.
TEST(QuantizedModel, ScalesOfIntegersMayBeNegative) {
  const auto weight = [](bool negates) {
    EditableCheckpoint golden = EditableCheckpoint::read(kGoldens / "gptq");
    std::string& scales = golden.tensor(".scales").data;
    for (size_t i = 1; negates && i < scales.size(); i += 2) scales[i] ^= '\x80';
    const test::TempDirectory temp;
    golden.write(temp.path());
    const QuantizedModel model = open(temp.path());
    return test::dequantized(*model.tensors, kQProj, model.plan.linears.at(kQProj), 7);
  };
  std::vector<float> expected = weight(false);
  for (float& value : expected) value = -value;
  EXPECT_EQ(weight(true), expected);
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

}  // namespace
}  // namespace veloz::checkpoint
