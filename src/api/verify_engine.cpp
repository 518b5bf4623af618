// SPDX-License-Identifier: Apache-2.0
#include "api/verify_engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <span>
#include <utility>

#include "api/backend.h"
#include "api/step_checker.h"
#include "base/error.h"
#include "base/numeric.h"
#include "base/philox.h"
#include "cpu/device.h"
#include "cpu/layouts.h"
#include "engine/engine.h"
#include "runtime/session.h"
#include "runtime/single_sequence.h"

namespace veloz::api {
namespace {

using engine::Engine;
using Tokens = std::vector<int32_t>;

/// References alone, on the CPU.
Backend open_references(int num_threads) {
  const int threads = resolve_num_threads(num_threads);
  const ops::KernelRegistry registry(ops::reference_kernels(), ops::plain_layouts());
  return {
      std::make_unique<ThreadPool>(threads), std::make_unique<cpu::CpuDevice>(),
      std::make_unique<ops::KernelRegistry>(registry.with_foreign_layouts(cpu::weight_layouts())),
      "references"};
}

Tokens random_tokens(int64_t count, int64_t vocab_size, uint64_t seed) {
  Tokens tokens;
  const std::array<uint32_t, 2> key = {static_cast<uint32_t>(seed),
                                       static_cast<uint32_t>(seed >> 32)};
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t word = philox4x32({static_cast<uint32_t>(i), 0, 0, 0}, key)[0];
    tokens.push_back(static_cast<int32_t>(word % static_cast<uint64_t>(vocab_size)));
  }
  return tokens;
}

/// The engine on one backend, with a cache for the sequence.
class Model {
 public:
  Model(const Engine& engine, Backend& backend, int64_t num_positions)
      : block_size_(engine.plan().limits.block_size),
        session_(engine, *backend.device, *backend.registry, *backend.pool,
                 {ceil_div(num_positions, block_size_) + 1}) {}

  runtime::Session& session() { return session_; }

  void run(const Tokens& tokens, int64_t begin) {
    logits_ = session_.run(runtime::single_sequence_batch(tokens, begin, std::ssize(tokens),
                                                          std::ssize(tokens) - 1, block_size_));
    session_.stream().synchronize();
  }

  /// The likeliest token after the last step's; the first of equals.
  int32_t best_token() {
    std::vector<float> row(static_cast<size_t>(logits_.shape[1]));
    session_.device().copy_out(session_.stream(), row.data(), logits_.data,
                               row.size() * sizeof(float));
    session_.stream().synchronize();
    return static_cast<int32_t>(std::ranges::max_element(row) - row.begin());
  }

  Tokens generate(Tokens tokens, int64_t count) {
    const auto num_prompt = std::ssize(tokens);
    int64_t begin = 0;
    for (int64_t i = 0; i < count; ++i) {
      run(tokens, begin);
      begin = std::ssize(tokens);
      tokens.push_back(best_token());
    }
    return {tokens.begin() + num_prompt, tokens.end()};
  }

 private:
  const int64_t block_size_;
  runtime::Session session_;
  TensorView logits_;
};

void check_request(const VerifyRequest& request, const engine::Limits& limits) {
  const int64_t most =
      std::min(limits.max_num_batched_tokens,
               limits.max_model_len - std::max<int64_t>(request.num_new_tokens, 1));
  if (request.num_prompt_tokens < 1 || request.num_prompt_tokens > most)
    throw Error(ErrorKind::invalid_input,
                fmt::format("--prompt-tokens is {}, this engine takes 1 to {} beside {} new tokens",
                            request.num_prompt_tokens, most, request.num_new_tokens),
                "choose a value in that range");
}

class Verification {
 public:
  Verification(const std::filesystem::path& directory, const VerifyRequest& request)
      : engine_(Engine::open(directory)), request_(request) {
    check_request(request, engine_.plan().limits);
    report_.engine = directory.string();
    report_.prompt =
        random_tokens(request.num_prompt_tokens, engine_.manifest().model.vocab_size, request.seed);
  }

  VerifyReport run() {
    std::vector<Backend> backends;
    backends.push_back(open_cpu(request_.backend.isa, request_.backend.num_threads));
    Backend wanted = open_backend(request_.backend, engine_.manifest().target);
    if (wanted.device->kind() != DeviceKind::cpu) backends.push_back(std::move(wanted));
    total_ = 2 * std::ssize(backends) * std::ssize(engine_.plan().program("step").steps);

    Backend references = open_references(request_.backend.num_threads);
    report_.reference_tokens = generate(references);
    for (Backend& backend : backends) report_.devices.push_back(check(backend));
    return std::move(report_);
  }

 private:
  int64_t num_positions() const {
    return request_.num_prompt_tokens + std::max<int64_t>(request_.num_new_tokens, 1);
  }

  Tokens generate(Backend& backend) {
    Model model(engine_, backend, num_positions());
    return model.generate(report_.prompt, request_.num_new_tokens);
  }

  DeviceChecks check(Backend& backend) {
    DeviceChecks checks;
    checks.backend = backend.description;
    {
      Model model(engine_, backend, num_positions());
      StepChecker checker(engine_, backend, model.session());
      model.session().set_step_hook([&](size_t step, const ops::OpCall& call, bool is_done) {
        checker.on_step(step, call, is_done);
        if (is_done && request_.on_progress) request_.on_progress(++num_done_, total_);
      });
      checker.set_phase("prefill");
      model.run(report_.prompt, 0);
      Tokens tokens = report_.prompt;
      tokens.push_back(model.best_token());
      checker.set_phase("decode");
      model.run(tokens, std::ssize(report_.prompt));
      checks.outputs = checker.take_checks();
    }
    checks.tokens = generate(backend);
    const auto differ = std::ranges::mismatch(checks.tokens, report_.reference_tokens);
    if (differ.in1 != checks.tokens.end())
      checks.first_divergence = differ.in1 - checks.tokens.begin();
    return checks;
  }

  const Engine engine_;
  const VerifyRequest& request_;
  VerifyReport report_;
  int64_t num_done_ = 0;
  int64_t total_ = 0;
};

}  // namespace

int64_t DeviceChecks::num_outside() const {
  return std::ranges::count_if(outputs,
                               [](const OutputCheck& check) { return !check.is_within(); });
}

bool VerifyReport::is_within() const {
  return std::ranges::all_of(devices,
                             [](const DeviceChecks& device) { return device.num_outside() == 0; });
}

VerifyReport verify_engine(const std::filesystem::path& engine, const VerifyRequest& request) {
  return Verification(engine, request).run();
}

}  // namespace veloz::api
