// SPDX-License-Identifier: Apache-2.0
#include "engine/engine.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <nlohmann/json.hpp>

#include "support/expect_error.h"
#include "support/tiny_engine.h"

namespace veloz::engine {
namespace {

namespace fs = std::filesystem;
using test::TempDirectory;
using test::throws_error;
using test::TinyModel;

std::map<std::string, std::string> read_all(const fs::path& directory) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(directory))
    if (entry.is_regular_file())
      files[fs::relative(entry.path(), directory).string()] =
          read_text_file(entry.path(), 1u << 30);
  return files;
}

std::vector<std::vector<std::byte>> read_weights(const Engine& engine, int num_threads) {
  std::vector<std::vector<std::byte>> weights;
  std::vector<std::byte*> to;
  for (size_t i = 0; i < engine.plan().weights.size(); ++i) {
    weights.emplace_back(engine.weight_bytes(i), std::byte{0xee});
    to.push_back(weights.back().data());
  }
  ThreadPool pool(num_threads);
  engine.read_weights(to, pool);
  return weights;
}

/// The tiny model beside weights of awkward sizes that span chunks.
TinyModel wide_model() {
  TinyModel model = test::tiny_model();
  const std::vector<Shape> shapes = {{1024, 5000}, {3, 5}, {7}, {2048, 2100}, {1}};
  for (size_t i = 0; i < shapes.size(); ++i) {
    model.plan.weights.push_back({"wide." + std::to_string(i), DType::fp32, shapes[i], "plain"});
    std::vector<float> values(static_cast<size_t>(shapes[i].num_elements()));
    for (size_t j = 0; j < values.size(); ++j) values[j] = static_cast<float>(j % 8191) + 0.5f;
    model.weights.push_back(std::move(values));
  }
  return model;
}

TEST(Engine, HoldsWhatWasWritten) {
  const TempDirectory temp;
  const TinyModel model = test::tiny_model();
  test::write_tiny_engine(temp.path() / "engine", model);
  EXPECT_TRUE(Engine::is_engine(temp.path() / "engine"));
  EXPECT_FALSE(Engine::is_engine(temp.path()));
  const Engine engine = Engine::open(temp.path() / "engine");
  EXPECT_EQ(engine.manifest().model.architecture, "llama");
  EXPECT_EQ(engine.manifest().limits, model.plan.limits);
  EXPECT_EQ(print_plan(engine.plan()), print_plan(model.plan));
  EXPECT_NE(engine.graph_text().find("embedding"), std::string::npos);
  EXPECT_TRUE(fs::exists(engine.tokenizer_directory() / "tokenizer.json"));
  const auto weights = read_weights(engine, 1);
  for (size_t i = 0; i < weights.size(); ++i)
    EXPECT_EQ(std::memcmp(weights[i].data(), model.weights[i].data(), weights[i].size()), 0) << i;
  ThreadPool pool(2);
  engine.verify_checksums(pool);
}

TEST(Engine, ReadsWeightsThatSpanChunksWithAnyNumberOfThreads) {
  const TempDirectory temp;
  const TinyModel model = wide_model();
  test::write_tiny_engine(temp.path() / "engine", model);
  const Engine engine = Engine::open(temp.path() / "engine");
  for (const int num_threads : {1, 2, 5}) {
    const auto weights = read_weights(engine, num_threads);
    for (size_t i = 0; i < weights.size(); ++i)
      EXPECT_EQ(std::memcmp(weights[i].data(), model.weights[i].data(), weights[i].size()), 0)
          << i << " with " << num_threads;
  }
}

TEST(Engine, ReadsOnlyTheWeightsThatAreWanted) {
  const TempDirectory temp;
  const TinyModel model = wide_model();
  test::write_tiny_engine(temp.path() / "engine", model);
  const Engine engine = Engine::open(temp.path() / "engine");
  ThreadPool pool(2);
  for (size_t wanted = 0; wanted < model.weights.size(); ++wanted) {
    std::vector<std::byte> weight(engine.weight_bytes(wanted));
    std::vector<std::byte*> to(model.weights.size(), nullptr);
    to[wanted] = weight.data();
    engine.read_weights(to, pool);
    EXPECT_EQ(std::memcmp(weight.data(), model.weights[wanted].data(), weight.size()), 0) << wanted;
  }
}

TEST(Engine, OfDummyWeightsHoldsNone) {
  const TempDirectory temp;
  const TinyModel model = test::tiny_model();
  EngineWriter writer =
      EngineWriter::create(temp.path() / "engine", model.plan, {}, EngineWriter::Existing::refuse);
  writer.write_file("graph.txt", "%0 = embedding(%tokens, @embed) : fp32[T,8]\nreturn %0\n");
  Manifest manifest = test::tiny_manifest();
  manifest.load_format = "dummy-at-load";
  manifest.dummy_seed = 0xfedcba9876543210;
  ThreadPool pool(1);
  writer.commit(manifest, pool);
  EXPECT_FALSE(fs::exists(temp.path() / "engine" / "weights.safetensors"));
  const Engine engine = Engine::open(temp.path() / "engine");
  EXPECT_EQ(engine.manifest().dummy_seed, 0xfedcba9876543210);
  EXPECT_EQ(engine.weight_bytes(0), 11u * 8u * 4u);
  engine.verify_checksums(pool);
}

TEST(Engine, HasTheSameBytesForTheSameInput) {
  const TempDirectory temp;
  const TinyModel model = wide_model();
  test::write_tiny_engine(temp.path() / "a", model);
  test::write_tiny_engine(temp.path() / "b", model, ops::plain_layouts(),
                          EngineWriter::Existing::refuse, 3);
  EXPECT_EQ(read_all(temp.path() / "a"), read_all(temp.path() / "b"));
  std::vector<std::string> names;
  for (const auto& [name, unused] : read_all(temp.path() / "a")) names.push_back(name);
  EXPECT_EQ(names, (std::vector<std::string>{"engine.json", "graph.txt", "plan.json",
                                             "tokenizer/tokenizer.json", "weights.safetensors"}));
}

TEST(Engine, StoresAValidSafetensorsFile) {
  const TempDirectory temp;
  const TinyModel model = wide_model();
  test::write_tiny_engine(temp.path() / "engine", model);
  const std::string file = read_text_file(temp.path() / "engine/weights.safetensors", 1u << 30);
  uint64_t length = 0;
  std::memcpy(&length, file.data(), 8);
  EXPECT_EQ((8 + length) % 64, 0u);
  const auto header = nlohmann::json::parse(file.substr(8, length));
  EXPECT_EQ(header["__metadata__"]["format"], "veloz");
  std::map<uint64_t, uint64_t> ranges;
  for (const auto& [name, tensor] : header.items()) {
    if (name == "__metadata__") continue;
    uint64_t bytes = tensor["dtype"] == "F32" ? 4 : 1;
    for (const uint64_t dim : tensor["shape"]) bytes *= dim;
    const uint64_t begin = tensor["data_offsets"][0];
    const uint64_t end = tensor["data_offsets"][1];
    EXPECT_EQ(end - begin, bytes) << name;
    EXPECT_TRUE(name.starts_with("__pad.") || begin % 64 == 0) << name;
    ranges[begin] = end;
  }
  uint64_t expected = 0;  // no holes, no overlaps, nothing behind the last
  for (const auto& [begin, end] : ranges) {
    EXPECT_EQ(begin, expected);
    expected = end;
  }
  EXPECT_EQ(8 + length + expected, file.size());
}

TEST(Engine, SaysWhereThereIsNone) {
  const TempDirectory temp;
  EXPECT_TRUE(throws_error(ErrorKind::not_found, {"nothing", "does not exist", "`veloz build`"},
                           [&] { Engine::open(temp.path() / "nothing"); }));
  EXPECT_TRUE(throws_error(ErrorKind::not_found, {"is no engine", "no engine.json"},
                           [&] { Engine::open(temp.path()); }));
  write_text_file(temp.path() / "file", "x");
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"is not a directory"},
                           [&] { Engine::open(temp.path() / "file"); }));
}

TEST(Engine, FollowsASymlinkOfTheUser) {
  const TempDirectory temp;
  test::write_tiny_engine(temp.path() / "engine", test::tiny_model());
  fs::rename(temp.path() / "engine/weights.safetensors", temp.path() / "elsewhere");
  fs::create_symlink(temp.path() / "elsewhere", temp.path() / "engine/weights.safetensors");
  fs::create_directory_symlink(temp.path() / "engine", temp.path() / "latest");
  read_weights(Engine::open(temp.path() / "latest"), 1);
}

}  // namespace
}  // namespace veloz::engine
