// SPDX-License-Identifier: Apache-2.0
// Which device a model runs on, and what of a GPU's memory its cache gets.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "api/backend.h"
#include "api/gpu_kv_budget.h"
#include "cuda/device.h"
#include "engine/engine.h"
#include "runtime/session.h"
#include "support/expect_error.h"
#include "support/golden_models.h"
#include "support/temp_directory.h"
#include "veloz/build.h"
#include "veloz/llm.h"

namespace veloz {
namespace {

constexpr uint64_t kGiB = uint64_t{1} << 30;

TEST(Device, IsTheCpuUnlessTheEngineIsForAGpu) {
  EXPECT_EQ(api::open_backend({}, "cpu").device->kind(), DeviceKind::cpu);
  EXPECT_EQ(api::open_backend({.device = "cpu"}, "cuda").device->kind(), DeviceKind::cpu);
  EXPECT_EQ(api::open_backend({}, "cpu").warning, "");
  EXPECT_EQ(api::target_of_device("auto"), "cpu");
  EXPECT_EQ(api::target_of_device("cuda:1"), "cuda");
}

TEST(Device, SaysWhyAnEngineForAGpuRunsOnTheCpu) {
  const cuda::GpuList list = cuda::list_gpus();
  if (!list.gpus.empty()) {
    EXPECT_EQ(api::open_backend({}, "cuda").device->kind(), DeviceKind::cuda);
    return;
  }
  const api::Backend backend = api::open_backend({}, "cuda");
  EXPECT_EQ(backend.device->kind(), DeviceKind::cpu);
  EXPECT_NE(backend.warning.find(list.why_none), std::string::npos);
  EXPECT_TRUE(test::throws_error(ErrorKind::unsupported, {list.why_none, "--device cpu"},
                                 [] { api::open_backend({.device = "cuda"}, "cpu"); }));
}

TEST(Device, RefusesWordsThatAreNone) {
  for (const char* word : {"", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "CUDA"})
    EXPECT_TRUE(test::throws_error(ErrorKind::invalid_input,
                                   {std::string("\"") + word + "\"", "cuda:N"},
                                   [&] { api::require_device(word); }));
}

engine::Plan plan_of_sequences(int64_t max_model_len) {
  engine::Plan plan;
  plan.limits.max_model_len = max_model_len;
  plan.limits.block_size = 64;
  return plan;
}

/// 40 GiB of weights and 2 GiB of buffers, blocks of 20 MiB.
profile::Footprint footprint() {
  profile::Footprint footprint;
  footprint.weight_bytes = 40 * kGiB;
  footprint.arena_bytes = kGiB;
  footprint.workspace_bytes = kGiB - (uint64_t{256} << 20);
  footprint.kv_block_bytes = uint64_t{20} << 20;
  return footprint;
}

constexpr cuda::GpuMemory kMemory = {.free_bytes = 79 * kGiB, .total_bytes = 80 * kGiB};

TEST(GpuKvCache, IsWhatWeightsAndBuffersLeaveOfTheShare) {
  const int64_t blocks =
      api::count_gpu_kv_blocks(plan_of_sequences(8192), footprint(),
                               {.memory = kMemory, .utilization = 0.9, .max_num_seqs = 64});
  EXPECT_EQ(blocks, (72 - 1 - 42) * 1024 / 20);
  EXPECT_EQ(
      api::count_gpu_kv_blocks(
          plan_of_sequences(8192), footprint(),
          {.memory = kMemory, .utilization = 0.9, .memory_bytes = 4 * kGiB, .max_num_seqs = 64}),
      4 * 1024 / 20);
}

TEST(GpuKvCache, LeavesRoomForALibraryOfProducts) {
  const int64_t blocks = api::count_gpu_kv_blocks(
      plan_of_sequences(8192), footprint(),
      {.memory = kMemory, .utilization = 0.9, .max_num_seqs = 64, .uses_library = true});
  EXPECT_EQ(blocks, ((72 - 1 - 42) * 1024 - 256) / 20);
}

TEST(Device, ChangesNothingOnTheCpuWhereRowsMayDependOnTheirBatch) {
  const api::Backend fast = api::open_backend(
      api::backend_request({.device = "cpu", .num_threads = 1, .allow_nondeterminism = true}),
      "cpu");
  const api::Backend usual = api::open_backend({.device = "cpu", .num_threads = 1}, "cpu");
  EXPECT_EQ(fast.description, usual.description);
  EXPECT_EQ(fast.registry->kernels().size(), usual.registry->kernels().size());
}

TEST(GpuKvCache, IsNoLargerThanPrefixesOfAllSequencesAreWorth) {
  EXPECT_EQ(api::count_gpu_kv_blocks(plan_of_sequences(640), footprint(),
                                     {.memory = kMemory, .max_num_seqs = 4}),
            4 * 4 * 10);
}

TEST(GpuKvCache, RefusesWithTheArithmeticWhatDoesNotFit) {
  const auto count = [](const api::GpuKvDemand& demand) {
    static_cast<void>(api::count_gpu_kv_blocks(plan_of_sequences(8192), footprint(), demand));
  };
  const cuda::GpuMemory small = {.free_bytes = 39 * kGiB, .total_bytes = 40 * kGiB};
  EXPECT_TRUE(test::throws_error(
      ErrorKind::out_of_memory,
      {"weights 40.00 GiB and buffers 2.00 GiB take 42.00 GiB", "90 % of the GPU's 40.00 GiB",
       "less 1.00 GiB in use are 35.00 GiB", "--quant"},
      [&] { count({.memory = small, .max_num_seqs = 1}); }));
  EXPECT_TRUE(test::throws_error(
      ErrorKind::out_of_memory, {"a KV cache of 50.00 GiB does not fit", "leaves 29.00 GiB"},
      [&] { count({.memory = kMemory, .memory_bytes = 50 * kGiB, .max_num_seqs = 1}); }));
  EXPECT_TRUE(test::throws_error(
      ErrorKind::out_of_memory, {"one sequence of 8192 positions needs 128", "max-model-len"},
      [&] { count({.memory = kMemory, .memory_bytes = kGiB, .max_num_seqs = 1}); }));
  EXPECT_TRUE(test::throws_error(
      ErrorKind::invalid_input, {"--gpu-memory-utilization is 1.5"},
      [&] { count({.memory = kMemory, .utilization = 1.5, .max_num_seqs = 1}); }));
}

std::vector<int32_t> greedy(const std::filesystem::path& engine, std::string* warning = nullptr) {
  LLM llm = LLM::load(engine, {.num_threads = 2});
  if (warning != nullptr) *warning = llm.warning();
  SamplingParams params;
  params.temperature = 0;
  params.max_tokens = 12;
  params.ignore_eos = true;
  const RequestOutput output = llm.generate(std::vector<int32_t>{5, 9, 3}, params);
  EXPECT_FALSE(output.error);
  return output.completions.at(0).token_ids;
}

/// Its weights lie plain, and the CPU packs them as it loads them.
TEST(Device, TheCpuRunsAnEngineForAGpuToTheSameTokens) {
  const test::TempDirectory directory;
  for (const char* quant : {"none", "fp8", "int4"}) {
    for (const char* target : {"cpu", "cuda"}) {
      BuildOptions options =
          test::small_build(test::bundled_model("tiny-llama"), directory.path() / quant / target);
      options.target = target;
      options.quant = quant;
      build(options);
    }
    const std::filesystem::path engines = directory.path() / quant;
    const engine::Engine engine = engine::Engine::open(engines / "cuda");
    for (const engine::PlanWeight& weight : engine.plan().weights)
      EXPECT_EQ(weight.layout, "plain") << weight.name;
    const api::Backend backend = api::open_cpu("", 2);
    const runtime::Session session(engine, *backend.device, *backend.registry, *backend.pool, {4});
    for (const std::string_view kernel : session.kernel_names())
      EXPECT_EQ(kernel.find("linear/reference"), std::string_view::npos) << kernel;
    std::string warning;
    EXPECT_EQ(greedy(engines / "cuda", &warning), greedy(engines / "cpu")) << quant;
    EXPECT_NE(warning, "");
  }
}

TEST(DummyAtLoad, MakesTheSameWeightsAgainForEveryTargetAndScheme) {
  const test::TempDirectory directory;
  for (const char* quant : {"none", "fp8", "int8", "int4", "int4-a16"}) {
    const auto built = [&](const char* target, uint64_t seed) {
      BuildOptions options = test::small_build(
          test::bundled_model("tiny-llama"),
          directory.path() / (std::string(quant) + target + std::to_string(seed)));
      options.load_format = "dummy-at-load";
      options.seed = seed;
      options.quant = quant;
      options.target = target;
      build(options);
      EXPECT_FALSE(std::filesystem::exists(options.output / "weights.safetensors"));
      return greedy(options.output);
    };
    const std::vector<int32_t> tokens = built("cpu", 1);
    EXPECT_EQ(tokens.size(), 12u);
    EXPECT_EQ(built("cuda", 1), tokens) << quant;
    EXPECT_NE(built("cpu", 2), tokens) << quant;
  }
}

}  // namespace
}  // namespace veloz
