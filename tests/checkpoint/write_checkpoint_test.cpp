// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/write_checkpoint.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/philox.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/quantized_model.h"
#include "support/expect_error.h"
#include "support/quantized_tensors.h"
#include "support/temp_directory.h"
#include "support/tiny_checkpoint.h"

namespace veloz::checkpoint {
namespace {

namespace fs = std::filesystem;
using test::throws_error;

const std::string kQProj = "model.layers.0.self_attn.q_proj";
const std::string kUpProj = "model.layers.0.mlp.up_proj";

/// A linear of random codes, scales and zeros.
struct RandomLinear {
  LinearScheme scheme;
  int64_t rows;
  int64_t columns;
  std::vector<std::byte> weight, scales, zeros;
  std::vector<int32_t> permutation;

  RandomLinear(LinearScheme scheme_in, int64_t rows_in, int64_t columns_in)
      : scheme(std::move(scheme_in)), rows(rows_in), columns(columns_in) {
    const int64_t groups = scheme.group == 0 ? 1 : columns / scheme.group;
    weight.resize(static_cast<size_t>(rows * columns / (scheme.weight == DType::uint4x2 ? 2 : 1)));
    for (std::byte& code : weight) code = random_byte();
    if (scheme.weight == DType::fp8_e4m3)
      for (std::byte& code : weight)
        if ((code & std::byte{0x7f}) == std::byte{0x7f}) code = std::byte{0x7e};  // no NaN
    for (int64_t i = 0; i < rows * groups; ++i) add_scale(0.001f * static_cast<float>(i + 1));
    if (scheme.has_zeros)
      for (int64_t i = 0; i < rows * groups; ++i)
        zeros.push_back(scheme.weight == DType::uint4x2 ? random_byte() & std::byte{15}
                                                        : random_byte());
    if (!scheme.has_permutation) return;
    for (int64_t k = 0; k < columns; ++k)
      permutation.push_back(static_cast<int32_t>(k * 7 % columns));  // 7 divides no width here
    for (int64_t g = 0; g < groups; ++g)  // within a group columns come as they were
      std::sort(permutation.begin() + g * columns / groups,
                permutation.begin() + (g + 1) * columns / groups);
  }

  CanonicalLinear tensors() const { return {rows, columns, weight, scales, zeros, permutation}; }
  void set_all_scales(float scale) {
    const size_t count = scales.size() / dtype_bytes(scheme.scale_dtype);
    scales.clear();
    for (size_t i = 0; i < count; ++i) add_scale(scale);
  }

 private:
  std::byte random_byte() {
    state_ = state_ * 1664525 + 1013904223;
    return static_cast<std::byte>(state_ >> 24);
  }
  void add_scale(float scale) {
    const uint16_t half =
        scheme.scale_dtype == DType::bf16 ? BFloat16(scale).bits : fp32_to_fp16(scale);
    const auto bytes = scheme.scale_dtype == DType::fp32 ? std::as_bytes(std::span(&scale, 1))
                                                         : std::as_bytes(std::span(&half, 1));
    scales.insert(scales.end(), bytes.begin(), bytes.end());
  }
  uint32_t state_ = 99;
};

LinearScheme w8a8(DType dtype, std::optional<double> input_scale = {}) {
  LinearScheme scheme;
  scheme.weight = dtype;
  scheme.activation = dtype;
  scheme.input_scale = input_scale;
  return scheme;
}
LinearScheme int4(int64_t group, bool has_zeros, DType scale_dtype) {
  LinearScheme scheme;
  scheme.weight = DType::uint4x2;
  scheme.group = group;
  scheme.has_zeros = has_zeros;
  scheme.scale_dtype = scale_dtype;
  return scheme;
}

class WrittenCheckpoints : public testing::Test {
 protected:
  WrittenCheckpoints() {
    model_.config["custom_key"] = {1, 2};
    model_.write(source_);
    write_text_file(source_ / "tokenizer.json", "{}");
    write_text_file(source_ / "pytorch_model.bin", "old weights");
    write_text_file(source_ / "README.md", "A model");
  }
  CheckpointWriter::Options options() const {
    CheckpointWriter::Options options;
    options.source = source_;
    options.output = output_;
    return options;
  }
  CheckpointWriter writer() const { return CheckpointWriter::create(options()); }
  /// Written with one linear instead of q_proj, whose shape nobody checks here.
  void write(const RandomLinear& linear, QuantFormat format = QuantFormat::compressed_tensors,
             const CheckpointWriter::Finish& finish = {}) const {
    CheckpointWriter::Options with_format = options();
    with_format.format = format;
    CheckpointWriter writer = CheckpointWriter::create(with_format);
    writer.add_linear(kQProj, linear.scheme, linear.tensors());
    writer.commit(finish, {});
  }
  nlohmann::json written_json(const char* name) const {
    return nlohmann::json::parse(read_text_file(output_ / name, 1 << 20));
  }
  size_t num_entries() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(temp_.path()), {}));
  }

  const test::TempDirectory temp_;
  const fs::path source_ = temp_.path() / "source";
  const fs::path output_ = temp_.path() / "output";
  test::TinyCheckpoint model_;
};

void expect_same(const QuantizedModel& model, const RandomLinear& linear) {
  ASSERT_EQ(model.plan.linears.size(), 1u);
  EXPECT_EQ(model.plan.linears.at(kQProj), linear.scheme);
  EXPECT_EQ(test::read_tensor(*model.tensors, kQProj + ".weight", 3), linear.weight);
  EXPECT_EQ(test::read_tensor(*model.tensors, kQProj + ".weight_scale", 3), linear.scales);
  if (linear.scheme.has_zeros) {
    EXPECT_EQ(test::read_tensor(*model.tensors, kQProj + ".weight_zero", 3), linear.zeros);
  }
  if (linear.scheme.has_permutation) {
    const auto bytes = std::as_bytes(std::span(linear.permutation));
    EXPECT_EQ(test::read_tensor(*model.tensors, kQProj + ".permutation", 3),
              std::vector<std::byte>(bytes.begin(), bytes.end()));
  }
}

TEST_F(WrittenCheckpoints, AreReadBackAsTheyWereGiven) {
  LinearScheme w4a8 = int4(32, true, DType::bf16);
  w4a8.activation = DType::int8;
  LinearScheme act_order = int4(16, true, DType::fp16);
  act_order.has_permutation = true;
  LinearScheme w8a16;
  w8a16.group = 16;
  w8a16.has_zeros = true;
  w8a16.scale_dtype = DType::fp16;
  LinearScheme fp8_groups = w8a8(DType::fp8_e4m3);
  fp8_groups.group = fp8_groups.activation_group = 32;
  LinearScheme fp8_weight_only;
  fp8_weight_only.weight = DType::fp8_e4m3;
  const LinearScheme schemes[] = {w8a8(DType::int8),
                                  w8a8(DType::int8, 0.25),
                                  w8a8(DType::fp8_e4m3),
                                  w8a8(DType::fp8_e4m3, 0.5),
                                  int4(32, false, DType::fp16),
                                  int4(16, true, DType::bf16),
                                  int4(0, false, DType::fp32),
                                  w4a8,
                                  act_order,
                                  w8a16,
                                  fp8_groups,
                                  fp8_weight_only};
  for (const LinearScheme& scheme : schemes) {
    const RandomLinear linear(scheme, 13, 64);
    write(linear);
    expect_same(*open_quantized(output_), linear);
    fs::remove_all(output_);
  }
}

TEST_F(WrittenCheckpoints, PadColumnsToWholeWords) {
  for (const int64_t columns : {30, 50, 66}) {
    const RandomLinear linear(int4(0, true, DType::fp16), 9, columns);
    write(linear);
    expect_same(*open_quantized(output_), linear);
    fs::remove_all(output_);
  }
}

TEST_F(WrittenCheckpoints, ModelOptHoldsFp8) {
  RandomLinear fixed(w8a8(DType::fp8_e4m3, 0.5), 13, 64);
  fixed.set_all_scales(0.125f);
  CheckpointWriter::Finish finish;
  finish.kv_cache = DType::fp8_e4m3;
  finish.kv_scales = {{1.5, 0.75}};
  write(fixed, QuantFormat::modelopt, finish);
  const QuantizedModel model = *open_quantized(output_);
  expect_same(model, fixed);
  EXPECT_EQ(model.plan.kv_cache, DType::fp8_e4m3);
  ASSERT_EQ(model.plan.kv_scales.size(), 1u);
  EXPECT_EQ(model.plan.kv_scales[0].k, 1.5);
  EXPECT_EQ(model.plan.kv_scales[0].v, 0.75);
  EXPECT_EQ(written_json("hf_quant_config.json")["quantization"]["quant_algo"], "FP8");
  EXPECT_EQ(written_json("config.json")["quantization_config"]["quant_algo"], "FP8");
  EXPECT_EQ(Checkpoint::open(output_).find(kQProj + ".weight_scale")->shape, Shape());
  fs::remove_all(output_);

  const RandomLinear row_wise(w8a8(DType::fp8_e4m3), 13, 64);
  write(row_wise, QuantFormat::modelopt);
  expect_same(*open_quantized(output_), row_wise);
}

TEST_F(WrittenCheckpoints, ModelOptNamesTheAlgorithmOfEachLinearWhereTheyDiffer) {
  CheckpointWriter::Options with_format = options();
  with_format.format = QuantFormat::modelopt;
  CheckpointWriter writer = CheckpointWriter::create(with_format);
  RandomLinear fixed(w8a8(DType::fp8_e4m3, 0.5), 13, 64);
  fixed.set_all_scales(0.125f);
  const RandomLinear row_wise(w8a8(DType::fp8_e4m3), 12, 32);
  writer.add_linear(kQProj, fixed.scheme, fixed.tensors());
  writer.add_linear(kUpProj, row_wise.scheme, row_wise.tensors());
  writer.commit({}, {});
  const QuantPlan plan = open_quantized(output_)->plan;
  EXPECT_EQ(plan.linears.at(kQProj), fixed.scheme);
  EXPECT_EQ(plan.linears.at(kUpProj), row_wise.scheme);
}

TEST_F(WrittenCheckpoints, MixSchemes) {
  CheckpointWriter writer = this->writer();
  const RandomLinear four_bits(int4(32, false, DType::fp16), 13, 64);
  const RandomLinear eight_bits(w8a8(DType::int8), 12, 32);
  writer.add_linear(kQProj, four_bits.scheme, four_bits.tensors());
  writer.add_linear(kUpProj, eight_bits.scheme, eight_bits.tensors());
  CheckpointWriter::Finish finish;
  finish.kv_cache = DType::fp8_e4m3;
  finish.kv_scales = {{0.5, 0.25}};
  writer.commit(finish, {});
  const QuantizedModel model = *open_quantized(output_);
  EXPECT_EQ(model.plan.name, "int4 + int8 (compressed-tensors)");
  EXPECT_EQ(model.plan.linears.at(kQProj), four_bits.scheme);
  EXPECT_EQ(model.plan.linears.at(kUpProj), eight_bits.scheme);
  EXPECT_EQ(model.plan.kv_scales.at(0).v, 0.25);
  EXPECT_EQ(written_json("config.json")["quantization_config"]["format"], "mixed-precision");
}

// As compressed-tensors' library reads it: without its format, a group of packed weights with
// rounded activations would be taken for one of unpacked weights.
TEST_F(WrittenCheckpoints, NameTheFormatOfAGroupWhereTheLibraryWouldGuessAnother) {
  for (const std::optional<DType> activation :
       {std::optional<DType>(), std::optional(DType::int8)}) {
    LinearScheme scheme = int4(32, false, DType::bf16);
    scheme.activation = activation;
    write(RandomLinear(scheme, 13, 64));
    const nlohmann::json group =
        written_json("config.json")["quantization_config"]["config_groups"]["group_0"];
    EXPECT_EQ(group.value("format", ""), activation ? "pack-quantized" : "") << group;
    fs::remove_all(output_);
  }
}

TEST_F(WrittenCheckpoints, KeepEverythingElse) {
  const RandomLinear linear(w8a8(DType::int8), 16, 16);
  CheckpointWriter writer = this->writer();
  writer.add_linear(kQProj, linear.scheme, linear.tensors());
  const std::vector<float> norm(16, 3.0f);
  writer.add_tensor("model.norm.weight", {DType::fp32, {16}}, std::as_bytes(std::span(norm)));
  CheckpointWriter::Finish finish;
  finish.files["report.md"] = "# Report";
  finish.veloz_json = R"({"verdict": "PASS-99.9"})";
  writer.commit(finish, {});

  const Checkpoint before = Checkpoint::open(source_);
  const Checkpoint after = Checkpoint::open(output_);
  for (const std::string_view name : before.names()) {
    if (name == kQProj + ".weight" || name == "model.norm.weight") continue;
    ASSERT_TRUE(after.find(name)) << name;
    EXPECT_EQ(test::read_tensor(after, std::string(name), 1000),
              test::read_tensor(before, std::string(name), 1000))
        << name;
  }
  EXPECT_EQ(after.names().size(), before.names().size() + 1);  // a scale
  EXPECT_EQ(test::fp32_of(DType::fp32, test::read_tensor(after, "model.norm.weight", 16)), norm);

  nlohmann::json config = written_json("config.json");
  EXPECT_EQ(config["veloz"]["verdict"], "PASS-99.9");
  const nlohmann::json quantization = config["quantization_config"];
  EXPECT_EQ(quantization["config_groups"]["group_0"]["targets"], nlohmann::json({"Linear"}));
  EXPECT_EQ(
      quantization["ignore"],
      nlohmann::json({"lm_head", "model.layers.0.mlp.down_proj", "model.layers.0.mlp.gate_proj",
                      "model.layers.0.mlp.up_proj", "model.layers.0.self_attn.k_proj",
                      "model.layers.0.self_attn.o_proj", "model.layers.0.self_attn.v_proj"}));
  config.erase("veloz");
  config.erase("quantization_config");
  EXPECT_EQ(config, model_.config);

  EXPECT_EQ(read_text_file(output_ / "tokenizer.json", 10), "{}");
  EXPECT_EQ(read_text_file(output_ / "report.md", 10), "# Report");
  EXPECT_TRUE(fs::exists(output_ / "README.md"));
  EXPECT_FALSE(fs::exists(output_ / "pytorch_model.bin"));
  EXPECT_EQ(num_entries(), 2u);  // source and output, nothing hidden
}

TEST_F(WrittenCheckpoints, AreTheSameBytesEveryTime) {
  const RandomLinear linear(int4(32, true, DType::bf16), 13, 64);
  write(linear);
  const std::string first = read_text_file(output_ / "model.safetensors", 1 << 20);
  fs::remove_all(output_);
  write(linear);
  EXPECT_EQ(read_text_file(output_ / "model.safetensors", 1 << 20), first);
}

TEST_F(WrittenCheckpoints, AreShardedWithAnIndex) {
  CheckpointWriter::Options small = options();
  small.max_shard_bytes = 3000;
  CheckpointWriter writer = CheckpointWriter::create(small);
  const RandomLinear linear(w8a8(DType::int8), 13, 64);
  writer.add_linear(kQProj, linear.scheme, linear.tensors());
  uint64_t done = 0;
  uint64_t total = 1;
  writer.commit({}, [&](const ProgressUpdate& update) {
    done = update.done;
    total = update.total;
  });
  EXPECT_EQ(done, total);
  EXPECT_FALSE(fs::exists(output_ / "model.safetensors"));
  const nlohmann::json index = written_json("model.safetensors.index.json");
  EXPECT_EQ(index["metadata"]["total_size"], total);
  const std::string last = index["weight_map"]["model.norm.weight"];
  EXPECT_TRUE(last.starts_with("model-0000") && last.ends_with(".safetensors")) << last;
  expect_same(*open_quantized(output_), linear);  // which holds index and shards against each other
}

TEST_F(WrittenCheckpoints, ResumeWhatWasInterruptedUnderTheSameKey) {
  CheckpointWriter::Options resumable = options();
  resumable.resume_key = "recipe 1";
  const RandomLinear linear(w8a8(DType::int8, 0.3f), 13, 64);  // as a file holds it
  const std::vector<float> norm(16, 3.0f);
  {
    CheckpointWriter writer = CheckpointWriter::create(resumable);
    EXPECT_EQ(writer.find_linear(kQProj), std::nullopt);
    writer.add_linear(kQProj, linear.scheme, linear.tensors());
    writer.add_tensor("model.norm.weight", {DType::fp32, {16}}, std::as_bytes(std::span(norm)));
  }
  EXPECT_FALSE(fs::exists(output_));
  {
    CheckpointWriter writer = CheckpointWriter::create(resumable);
    EXPECT_EQ(writer.find_linear(kQProj), linear.scheme);
    EXPECT_TRUE(writer.has_tensor("model.norm.weight"));
    EXPECT_FALSE(writer.has_tensor(kQProj));
    writer.commit({}, {});
  }
  expect_same(*open_quantized(output_), linear);
  resumable.existing = CheckpointWriter::Existing::replace;
  { CheckpointWriter::create(resumable).add_linear(kQProj, linear.scheme, linear.tensors()); }
  resumable.resume_key = "recipe 2";
  EXPECT_EQ(CheckpointWriter::create(resumable).find_linear(kQProj), std::nullopt);
}

TEST_F(WrittenCheckpoints, AbandonedLeaveNothing) {
  const RandomLinear linear(w8a8(DType::int8), 13, 64);
  { writer().add_linear(kQProj, linear.scheme, linear.tensors()); }
  EXPECT_EQ(num_entries(), 1u);
}

TEST_F(WrittenCheckpoints, ReplaceAModelOnlyWhereAsked) {
  const RandomLinear linear(w8a8(DType::int8), 13, 64);
  write(linear);
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"holds a model already", "--force"},
                           [&] { writer(); }));
  CheckpointWriter::Options replacing = options();
  replacing.existing = CheckpointWriter::Existing::replace;
  CheckpointWriter writer = CheckpointWriter::create(replacing);
  const RandomLinear other(int4(32, false, DType::fp16), 13, 64);
  writer.add_linear(kQProj, other.scheme, other.tensors());
  writer.commit({}, {});
  expect_same(*open_quantized(output_), other);
  EXPECT_EQ(num_entries(), 2u);
}

TEST_F(WrittenCheckpoints, RefusePlacesThatAreTaken) {
  const auto create = [&](const fs::path& output) {
    CheckpointWriter::Options elsewhere = options();
    elsewhere.output = output;
    CheckpointWriter::create(elsewhere);
  };
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"is the model that is read"},
                           [&] { create(source_ / "."); }));
  write_text_file(temp_.path() / "file", "x");
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"not a directory"},
                           [&] { create(temp_.path() / "file"); }));
  fs::create_directory(output_);
  write_text_file(output_ / "thesis.tex", "x");
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"is no model, so it is not replaced"},
                           [&] { create(output_); }));
  fs::remove_all(output_);
  const CheckpointWriter first = writer();
  EXPECT_TRUE(
      throws_error(ErrorKind::invalid_input, {"another process is writing"}, [&] { writer(); }));
}

TEST_F(WrittenCheckpoints, RefuseASourceThatIsQuantized) {
  model_.config["quantization_config"] = {{"quant_method", "awq"}};
  model_.write(source_);
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"quantized already"}, [&] { writer(); }));
}

TEST_F(WrittenCheckpoints, RefuseWhatTheFormatCannotHold) {
  const RandomLinear four_bits(int4(32, false, DType::fp16), 13, 64);
  EXPECT_TRUE(throws_error(ErrorKind::unsupported, {kQProj, "compressed-tensors"},
                           [&] { write(four_bits, QuantFormat::modelopt); }));
  const RandomLinear per_channel(w8a8(DType::fp8_e4m3, 0.5), 13, 64);
  EXPECT_TRUE(throws_error(ErrorKind::unsupported, {kQProj, "one scale for all"},
                           [&] { write(per_channel, QuantFormat::modelopt); }));
  LinearScheme grouped = w8a8(DType::int8);
  grouped.group = 32;
  const RandomLinear int8_groups(grouped, 13, 64);
  EXPECT_TRUE(throws_error(ErrorKind::unsupported, {kQProj}, [&] { write(int8_groups); }));
}

TEST_F(WrittenCheckpoints, AScaleOfZeroBecomesOne) {
  for (const DType dtype : {DType::fp32, DType::bf16, DType::fp16}) {
    RandomLinear linear(int4(32, false, dtype), 13, 64);
    std::fill_n(linear.scales.begin(), dtype_bytes(dtype), std::byte{0});
    write(linear);
    const QuantizedModel model = *open_quantized(output_);
    const auto scales =
        test::fp32_of(dtype, test::read_tensor(*model.tensors, kQProj + ".weight_scale", 13));
    EXPECT_EQ(scales[0], 1.0f);
    EXPECT_NE(scales[1], 1.0f);
    fs::remove_all(output_);
  }
}

TEST_F(WrittenCheckpoints, RefuseScalesThatAreNoNumbers) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), HUGE_VALF, -1.0f}) {
    RandomLinear linear(w8a8(DType::int8), 13, 64);
    std::memcpy(linear.scales.data() + 4, &bad, sizeof(bad));
    EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"scale 1", kQProj, "positive"},
                             [&] { write(linear); }));
  }
}

}  // namespace
}  // namespace veloz::checkpoint
