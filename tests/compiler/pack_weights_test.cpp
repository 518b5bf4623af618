// SPDX-License-Identifier: Apache-2.0
#include "compiler/pack_weights.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "compiler/lower.h"
#include "small_limits.h"
#include "support/expect_error.h"
#include "support/memory_source.h"
#include "support/temp_directory.h"

namespace veloz::compiler {
namespace {

using test::MemorySource;
using test::OwnedTensor;
using test::throws_error;

constexpr const char* kQuantized = R"(graph quantized {
  input %tokens : int32[T]
  input %logit_rows : int32[R]
  weight @embed : bf16[48,64] = "embed"[48]
  weight @order : int32[64] = "m.permutation"[64]
  weight @w : uint4x2[48,32] = "m.weight"[32] + "n.weight"[16]
  weight @w.scale : fp16[48,2] = "m.weight_scale"[32] + "n.weight_scale"[16]
  weight @w.zero : uint8[48,2] = "m.weight_zero"[32] + "n.weight_zero"[16]
  %0 = embedding(%tokens, @embed) : bf16[T,64]
  %1 = gather_rows(%0, %logit_rows) : bf16[R,64]
  %2 = permute_columns(%1, @order) : bf16[R,64]
  %c, %s = quantize(%2) {format="int8"} : int8[R,64], fp32[R,1]
  %logits = quantized_linear(%c, %s, @w, @w.scale, @w.zero) {out="fp32", zeros=1} : fp32[R,48]
  return %logits
}
)";

/// fp16 of a small positive number.
OwnedTensor half_tensor(const Shape& shape, float value) {
  OwnedTensor tensor(DType::fp16, shape);
  for (int64_t i = 0; i < shape.num_elements(); ++i)
    tensor.view().as<uint16_t>()[i] = fp32_to_fp16(value);
  return tensor;
}

MemorySource quantized_source() {
  MemorySource source;
  source.add("embed", test::random_tensor(DType::bf16, {48, 64}, 1));
  OwnedTensor order(DType::int32, {64});
  for (int32_t i = 0; i < 64; ++i) order.view().as<int32_t>()[i] = (i * 5 + 3) % 64;
  source.add("m.permutation", std::move(order));
  uint64_t seed = 2;
  for (const auto& [module, rows] : {std::pair<std::string, int64_t>{"m", 32}, {"n", 16}}) {
    source.add(module + ".weight",
               test::random_tensor(DType::uint4x2, {rows, 32}, seed++, {.low = 0, .high = 256}));
    source.add(module + ".weight_scale", half_tensor({rows, 2}, 0.01f));
    source.add(module + ".weight_zero",
               test::random_tensor(DType::uint8, {rows, 2}, seed++, {.low = 0, .high = 16}));
  }
  return source;
}

/// Packs the graph's weights into an engine and reads them back, in plan order.
std::vector<std::vector<std::byte>> pack_and_read(const MemorySource& source) {
  const graph::Graph graph = graph::parse(kQuantized);
  const ops::KernelRegistry target(ops::reference_kernels(), ops::plain_layouts());
  const engine::Plan plan = lower(graph, test::small_limits(), target).plan;
  check_tensors(graph, source);
  const test::TempDirectory directory;
  const std::filesystem::path path = directory.path() / "engine";
  ThreadPool pool(2);
  engine::EngineWriter writer = engine::EngineWriter::create(
      path, plan, packed_sizes(plan, target), engine::EngineWriter::Existing::refuse);
  writer.write_file("graph.txt", kQuantized);
  EXPECT_TRUE(pack_weights(graph, plan, source, target, pool, {}, writer).empty());
  engine::Manifest manifest;
  manifest.load_format = "safetensors";
  manifest.model.vocab_size = 48;
  writer.commit(manifest, pool);

  const engine::Engine engine = engine::Engine::open(path);
  std::vector<std::vector<std::byte>> weights;
  std::vector<std::byte*> places;
  for (size_t i = 0; i < plan.weights.size(); ++i) weights.emplace_back(engine.weight_bytes(i));
  for (std::vector<std::byte>& weight : weights) places.push_back(weight.data());
  engine.read_weights(places, pool);
  return weights;
}

std::vector<std::byte> bytes_of(const MemorySource& source, const std::vector<std::string>& names) {
  std::vector<std::byte> bytes;
  for (const std::string& name : names) {
    const OwnedTensor tensor = test::read_tensor(source, name);
    const auto* const begin = tensor.view().as<const std::byte>();
    bytes.insert(bytes.end(), begin, begin + tensor.view().num_bytes());
  }
  return bytes;
}

TEST(PackWeights, TakesCodesScalesZerosAndOrdersAsTheyAre) {
  const MemorySource source = quantized_source();
  const std::vector<std::vector<std::byte>> weights = pack_and_read(source);
  ASSERT_EQ(weights.size(), 5u);
  EXPECT_EQ(weights[0], bytes_of(source, {"embed"}));
  EXPECT_EQ(weights[1], bytes_of(source, {"m.permutation"}));
  EXPECT_EQ(weights[2], bytes_of(source, {"m.weight", "n.weight"}));
  EXPECT_EQ(weights[3], bytes_of(source, {"m.weight_scale", "n.weight_scale"}));
  EXPECT_EQ(weights[4], bytes_of(source, {"m.weight_zero", "n.weight_zero"}));
}

struct Damage {
  std::string name;
  void (*damage)(MemorySource& source);
  ErrorKind kind;
  std::vector<std::string> message;
};

class DamagedQuantization : public testing::TestWithParam<Damage> {};

TEST_P(DamagedQuantization, IsRefusedWithTheTensorsName) {
  MemorySource source = quantized_source();
  GetParam().damage(source);
  try {
    pack_and_read(source);
    FAIL() << "accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), GetParam().kind) << e.message();
    for (const std::string& part : GetParam().message)
      EXPECT_NE(e.message().find(part), std::string::npos) << part << " in " << e.message();
  }
}

/// n's scales with one of them another number.
void set_scale(MemorySource& source, float value) {
  OwnedTensor scales = half_tensor({16, 2}, 0.01f);
  scales.view().row<uint16_t>(5)[1] = fp32_to_fp16(value);
  source.add("n.weight_scale", std::move(scales));
}

TEST(PackWeights, TakesNegativeScalesOfIntegers) {
  MemorySource source = quantized_source();
  set_scale(source, -0.5f);
  EXPECT_EQ(pack_and_read(source)[3], bytes_of(source, {"m.weight_scale", "n.weight_scale"}));
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, DamagedQuantization,
    testing::Values(
        Damage{"ScalesMissing",
               [](MemorySource& s) { s.remove("n.weight_scale"); },
               ErrorKind::not_found,
               {"\"n.weight_scale\" is missing"}},
        Damage{"ScalesOfAnotherGroupSize",
               [](MemorySource& s) {
                 s.add("n.weight_scale", half_tensor({16, 4}, 1));
               },
               ErrorKind::invalid_input,
               {"\"n.weight_scale\" has shape [16, 4]", "[16, 2]"}},
        Damage{"CodesOfAnotherWidth",
               [](MemorySource& s) {
                 s.add("m.weight", OwnedTensor(DType::uint4x2, {32, 64}));
               },
               ErrorKind::invalid_input,
               {"\"m.weight\" has shape [32, 64]", "[32, 32]"}},
        Damage{"CodesOfAnotherType",
               [](MemorySource& s) {
                 s.add("m.weight", OwnedTensor(DType::int8, {32, 32}));
               },
               ErrorKind::invalid_input,
               {"\"m.weight\" has dtype int8, its quantization asks for uint4x2"}},
        Damage{"ScalesOfAnotherType",
               [](MemorySource& s) {
                 s.add("m.weight_scale", OwnedTensor(DType::bf16, {32, 2}));
               },
               ErrorKind::invalid_input,
               {"\"m.weight_scale\" has dtype bf16, its quantization asks for fp16"}},
        Damage{"ScaleNaN",
               [](MemorySource& s) { set_scale(s, std::numeric_limits<float>::quiet_NaN()); },
               ErrorKind::invalid_input,
               {"\"n.weight_scale\" has the scale nan in row 5, group 1"}},
        Damage{"ScaleInfinite",
               [](MemorySource& s) { set_scale(s, std::numeric_limits<float>::infinity()); },
               ErrorKind::invalid_input,
               {"\"n.weight_scale\" has the scale inf in row 5, group 1"}},
        Damage{"ScaleZeroOfWeightsThatAreNot",
               [](MemorySource& s) { set_scale(s, 0); },
               ErrorKind::invalid_input,
               {"\"n.weight_scale\" has a scale of 0 in row 5, group 1", "\"n.weight\""}},
        Damage{"OrderWithAColumnTwice",
               [](MemorySource& s) { s.add("m.permutation", OwnedTensor(DType::int32, {64})); },
               ErrorKind::invalid_input,
               {"\"m.permutation\" has the index 0 at place 1", "0 to 63"}}),
    [](const auto& damage) { return damage.param.name; });

TEST(PackWeights, TakesAScaleOfZeroForWeightsThatAreZero) {
  MemorySource source = quantized_source();
  set_scale(source, 0);
  OwnedTensor codes = test::read_tensor(source, "n.weight");
  OwnedTensor zeros = test::read_tensor(source, "n.weight_zero");
  zeros.view().row<uint8_t>(5)[1] = 9;
  std::memset(codes.view().row<uint8_t>(5) + 16, 0x99, 16);
  source.add("n.weight", std::move(codes));
  source.add("n.weight_zero", std::move(zeros));
  EXPECT_EQ(pack_and_read(source).size(), 5u);
}

}  // namespace
}  // namespace veloz::compiler
