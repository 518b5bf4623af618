// SPDX-License-Identifier: Apache-2.0
// Whole models on the CUDA back end against the CPU: logits and greedy tokens.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "compiler/build.h"
#include "cpu/device.h"
#include "cpu/kernels.h"
#include "cpu/layouts.h"
#include "cuda/kernels.h"
#include "cuda_runs.h"
#include "engine/engine.h"
#include "runtime/session.h"
#include "support/temp_directory.h"

namespace veloz::cuda {
namespace {

constexpr int64_t kBlockSize = 16;
constexpr int64_t kPromptTokens[] = {21, 3};  // one sequence of two blocks, one within a block

struct ModelCase {
  std::string name;  // of tests/golden/models
  std::string quant;
  DType kv_cache_dtype;
  bool is_built_for_cpu = false;
};

void PrintTo(const ModelCase& c, std::ostream* out) { *out << c.name << " " << c.quant; }

engine::Engine build_engine(const ModelCase& c, const std::filesystem::path& directory,
                            ThreadPool& pool) {
  compiler::CompileOptions options;
  options.model = std::filesystem::path(VELOZ_TEST_DATA_DIR) / "golden/models" / c.name;
  options.output = directory;
  options.target = c.is_built_for_cpu ? "cpu" : "cuda";
  options.dtype = compiler::DTypeChoice::bf16;
  options.kv_cache_dtype = c.kv_cache_dtype;
  options.quantization.scheme = c.quant;
  options.limits.max_model_len = 64;
  options.limits.max_num_batched_tokens = 32;
  options.limits.max_num_seqs = 2;
  options.limits.max_beam_width = 1;
  options.limits.block_size = kBlockSize;
  compiler::compile(options,
                    c.is_built_for_cpu ? cpu::make_registry(cpu::kIsas.back()) : make_registry(),
                    pool, {});
  return engine::Engine::open(directory);
}

/// Two sequences decoding together, each with its blocks of the cache, every second one.
class Generation {
 public:
  Generation(runtime::Session& session, int64_t vocab_size) : session_(session) {
    for (size_t s = 0; s < std::size(kPromptTokens); ++s)
      for (int64_t i = 0; i < kPromptTokens[s]; ++i)
        tokens_[s].push_back(
            static_cast<int32_t>((17 + 31 * i + 7 * static_cast<int64_t>(s)) % vocab_size));
  }

  /// Logits [2, vocab_size] of a step of all that is not in the cache yet.
  std::vector<float> step() {
    runtime::Batch batch;
    batch.blocks_per_seq = 2;
    for (size_t s = 0; s < std::size(tokens_); ++s) {
      const auto end = std::ssize(tokens_[s]);
      batch.q_starts.push_back(static_cast<int32_t>(batch.tokens.size()));
      batch.q_lens.push_back(static_cast<int32_t>(end - num_computed_[s]));
      batch.kv_lens.push_back(static_cast<int32_t>(end));
      for (int64_t i = num_computed_[s]; i < end; ++i) {
        const bool is_fed = sampled_ && i + 1 == end;
        if (is_fed)
          batch.feeds.push_back(
              {static_cast<int32_t>(batch.tokens.size()), static_cast<int32_t>(s)});
        batch.tokens.push_back(is_fed ? 0 : tokens_[s][static_cast<size_t>(i)]);
        batch.positions.push_back(static_cast<int32_t>(i));
        batch.slots.push_back(block(s, i / kBlockSize) * kBlockSize + i % kBlockSize);
      }
      for (int64_t i = 0; i < batch.blocks_per_seq; ++i)
        batch.block_tables.push_back(static_cast<int32_t>(block(s, i)));
      batch.logit_rows.push_back(static_cast<int32_t>(batch.tokens.size()) - 1);
      num_computed_[s] = end;
    }
    if (sampled_) batch.sampled = {sampled_.data(), DType::int32, {std::ssize(batch.feeds)}};
    const TensorView view = session_.run(batch);
    sampled_ = {};
    std::vector<float> logits(static_cast<size_t>(view.shape.num_elements()));
    session_.device().copy_out(session_.stream(), logits.data(), view.data, view.num_bytes());
    session_.stream().synchronize();
    return logits;
  }

  void append(const std::vector<int32_t>& tokens) {
    for (size_t s = 0; s < std::size(tokens_); ++s) tokens_[s].push_back(tokens[s]);
  }
  /// As if the device had sampled them: the next step reads them there.
  void append_on_device(const std::vector<int32_t>& tokens) {
    append(tokens);
    const size_t bytes = tokens.size() * sizeof(int32_t);
    sampled_ = session_.device().allocate(bytes);
    session_.device().copy_in(session_.stream(), sampled_.data(), tokens.data(), bytes);
    session_.stream().synchronize();
  }

 private:
  static int64_t block(size_t sequence, int64_t index) {
    return 2 * index + static_cast<int64_t>(sequence);
  }

  runtime::Session& session_;
  std::vector<int32_t> tokens_[std::size(kPromptTokens)];
  int64_t num_computed_[std::size(kPromptTokens)] = {};
  Buffer sampled_;
};

std::vector<int32_t> best_tokens(const std::vector<float>& logits) {
  const auto columns = static_cast<std::ptrdiff_t>(logits.size() / std::size(kPromptTokens));
  std::vector<int32_t> tokens;
  for (auto row = logits.begin(); row != logits.end(); row += columns)
    tokens.push_back(static_cast<int32_t>(std::max_element(row, row + columns) - row));
  return tokens;
}

/// The largest difference, in units of the largest logit.
float relative_error(const std::vector<float>& actual, const std::vector<float>& expected) {
  float largest = 0;
  float worst = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    if (std::isnan(actual[i])) return INFINITY;
    largest = std::max(largest, std::abs(expected[i]));
    worst = std::max(worst, std::abs(actual[i] - expected[i]));
  }
  return worst / largest;
}

class CudaEngine : public ::testing::TestWithParam<ModelCase> {};

/// Both round activations to bf16 after every op, in other orders of summing: a unit in the last
/// place of bf16 is 1/256, and some of them add up over two layers. Codes of activations may differ
/// by one where those lie near a tie.
TEST_P(CudaEngine, GivesTheLogitsOfTheCpuAndItsGreedyTokens) {
  const test::TempDirectory directory;
  ThreadPool pool(1);
  const engine::Engine engine = build_engine(GetParam(), directory.path() / "engine", pool);
  const int64_t vocab_size = engine.manifest().model.vocab_size;
  constexpr int64_t kNumBlocks = 4;
  cpu::CpuDevice cpu_device;
  const ops::KernelRegistry cpu_registry = cpu::make_registry(cpu::Isa::portable);
  runtime::Session cpu_session(engine, cpu_device, cpu_registry, pool, {kNumBlocks});
  const ops::KernelRegistry registry = make_registry().with_foreign_layouts(cpu::weight_layouts());
  runtime::Session session(engine, test_device(), registry, pool, {kNumBlocks});
  EXPECT_TRUE(session.takes_device_tokens());
  EXPECT_FALSE(cpu_session.takes_device_tokens());

  Generation expected(cpu_session, vocab_size);
  Generation actual(session, vocab_size);
  constexpr int kSteps = 4;
  for (int i = 0; i < kSteps; ++i) {
    const std::vector<float> wanted = expected.step();
    const std::vector<float> logits = actual.step();
    EXPECT_LT(relative_error(logits, wanted), 0.03f) << "step " << i;
    EXPECT_EQ(best_tokens(logits), best_tokens(wanted)) << "step " << i;
    expected.append(best_tokens(wanted));
    if (i % 2 == 0)
      actual.append_on_device(best_tokens(wanted));
    else
      actual.append(best_tokens(wanted));
  }
}

std::string name_of(const ::testing::TestParamInfo<ModelCase>& model) {
  std::string name = model.param.name + "_" + model.param.quant +
                     (model.param.is_built_for_cpu ? "_built_for_cpu" : "");
  std::ranges::replace(name, '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Models, CudaEngine,
                         ::testing::Values(ModelCase{"llama-gqa-bf16", "none", DType::bf16},
                                           ModelCase{"llama-gqa-bf16", "none", DType::bf16, true},
                                           ModelCase{"qwen2", "fp8", DType::fp8_e4m3},
                                           ModelCase{"llama-mha", "int8", DType::int8},
                                           ModelCase{"llama-mha", "int4-a16", DType::bf16, true},
                                           ModelCase{"gptj-f16", "none", DType::bf16}),
                         name_of);

}  // namespace
}  // namespace veloz::cuda
