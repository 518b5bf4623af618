// SPDX-License-Identifier: Apache-2.0
#include "api/verify_engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "api/kv_conversion.h"
#include "api/step_checker.h"
#include "ops/kv_layout.h"
#include "support/expect_error.h"
#include "support/golden_models.h"
#include "support/temp_directory.h"
#include "support/tensors.h"
#include "veloz/build.h"

namespace veloz::api {
namespace {

TEST(VerifyEngine, FindsEveryOutputOfTheCpuWithinTolerance) {
  const test::TempDirectory directory;
  for (const char* model : {"tiny-llama", "tiny-gptj"})
    for (const char* quant : {"none", "int4"}) {
      BuildOptions options = test::small_build(test::bundled_model(model),
                                               directory.path() / (std::string(model) + quant));
      options.quant = quant;
      options.kv_cache_dtype = quant == std::string("none") ? "auto" : "int8";
      build(options);
      const VerifyReport report = verify_engine(
          options.output,
          {.backend = {.num_threads = 2}, .num_prompt_tokens = 3, .num_new_tokens = 2});
      ASSERT_EQ(report.devices.size(), 1u);
      const DeviceChecks& cpu = report.devices[0];
      EXPECT_TRUE(report.is_within()) << model << " " << quant;
      EXPECT_EQ(report.prompt.size(), 3u);
      EXPECT_EQ(report.reference_tokens.size(), 2u);
      EXPECT_EQ(cpu.tokens.size(), 2u);
      const auto of_phase = [&](const char* phase) {
        return std::ranges::count(cpu.outputs, phase, &OutputCheck::phase);
      };
      EXPECT_GT(of_phase("prefill"), 10);
      EXPECT_EQ(of_phase("prefill"), of_phase("decode"));
      const auto linear = std::ranges::find_if(cpu.outputs, [](const OutputCheck& check) {
        return check.kernel.find("linear/") != std::string::npos;
      });
      ASSERT_NE(linear, cpu.outputs.end());
      EXPECT_EQ(linear->kernel.find("reference"), std::string::npos) << linear->kernel;
    }
}

TEST(VerifyEngine, RefusesPromptsThatTheEngineDoesNotTake) {
  const test::TempDirectory directory;
  const BuildOptions options =
      test::small_build(test::bundled_model("tiny-llama"), directory.path() / "engine");
  build(options);
  for (const int64_t count : {int64_t{0}, int64_t{505}})
    EXPECT_TRUE(
        test::throws_error(ErrorKind::invalid_input, {"--prompt-tokens is", "1 to 504"},
                           [&] { verify_engine(options.output, {.num_prompt_tokens = count}); }));
}

/// Half a percent too much: several units in the last place of bf16.
void wrong_add(ops::OpContext& context, const ops::OpCall& call) noexcept {
  ops::op_def(ops::Op::add).reference(context, call);
  const TensorView& y = call.outputs[0];
  for (int64_t row = 0; row < y.shape[0]; ++row)
    for (int64_t i = 0; i < y.shape[1]; ++i) {
      auto& element = y.row<BFloat16>(row)[i];
      element = BFloat16(static_cast<float>(element) * 1.01f);
    }
}

TEST(StepChecker, NamesTheOneKernelThatIsWrongAndNotThoseBehindIt) {
  const test::TempDirectory directory;
  BuildOptions options =
      test::small_build(test::bundled_model("tiny-llama"), directory.path() / "engine");
  options.disabled_passes = {"fuse_add_norm"};
  build(options);
  const engine::Engine engine = engine::Engine::open(options.output);
  Backend backend = open_cpu("", 2);
  std::vector<ops::Kernel> kernels = {
      {.name = "add/wrong",
       .op = ops::Op::add,
       .accepts =
           [](const ops::KernelQuery& query) { return query.outputs[0].dtype == DType::bf16; },
       .run = wrong_add}};
  for (const ops::Kernel& kernel : backend.registry->kernels()) kernels.push_back(kernel);
  backend.registry = std::make_unique<ops::KernelRegistry>(
      std::move(kernels), std::vector<ops::WeightLayout>(backend.registry->layouts().begin(),
                                                         backend.registry->layouts().end()));
  runtime::Session session(engine, *backend.device, *backend.registry, *backend.pool, {2});
  StepChecker checker(engine, backend, session);
  session.set_step_hook([&](size_t step, const ops::OpCall& call, bool is_done) {
    checker.on_step(step, call, is_done);
  });
  runtime::Batch batch;
  batch.tokens = {5, 9};
  batch.positions = {0, 1};
  batch.slots = {0, 1};
  batch.q_starts = {0};
  batch.q_lens = batch.kv_lens = {2};
  batch.block_tables = {0};
  batch.blocks_per_seq = 1;
  batch.logit_rows = {1};
  session.run(batch);
  int64_t num_wrong = 0;
  for (const OutputCheck& check : checker.take_checks()) {
    const bool is_wrong = check.kernel == "add/wrong";
    num_wrong += is_wrong ? 1 : 0;
    EXPECT_EQ(check.is_within(), !is_wrong) << check.kernel << " " << check.name;
  }
  EXPECT_GT(num_wrong, 0);
}

TEST(KvConversion, PutsEveryElementWhereTheReferencesReadIt) {
  for (const DType dtype : {DType::fp32, DType::bf16, DType::fp8_e4m3, DType::int8}) {
    constexpr int64_t kHeads = 3, kBlockSize = 16, kHeadDim = 6;
    const Shape shape = {2, 2, kHeads, kBlockSize, ops::kv_row_extent(dtype, kHeadDim)};
    const test::OwnedTensor cache(dtype, shape);
    std::vector<std::byte> plain(cache.view().num_bytes());
    for (size_t i = 0; i < plain.size(); ++i) plain[i] = static_cast<std::byte>(i % 251);
    kv_from_plain(cache.view(), plain.data());

    const ops::KvLayout layout = ops::KvLayout::of(cache.view());
    const size_t bytes = dtype_bytes(dtype);
    const auto row = [&](int64_t slot, int64_t half, int64_t head) {
      return (((slot / kBlockSize * 2 + half) * kHeads + head) * kBlockSize + slot % kBlockSize) *
             shape[4];
    };
    for (int64_t slot = 0; slot < 2 * kBlockSize; ++slot)
      for (int64_t head = 0; head < kHeads; ++head)
        for (int64_t d = 0; d < kHeadDim; ++d) {
          const auto expect_same = [&](int64_t at, int64_t from) {
            EXPECT_EQ(std::memcmp(cache.view().as<std::byte>() + static_cast<size_t>(at) * bytes,
                                  &plain[static_cast<size_t>(from) * bytes], bytes),
                      0);
          };
          expect_same(layout.k_index(slot, head, d), row(slot, 0, head) + d);
          expect_same(layout.v_index(slot, head, d), row(slot, 1, head) + d);
        }
    std::vector<std::byte> back(plain.size());
    kv_to_plain(cache.view(), back.data());
    EXPECT_EQ(back, plain) << to_string(dtype);
  }
}

}  // namespace
}  // namespace veloz::api
