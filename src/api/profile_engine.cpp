// SPDX-License-Identifier: Apache-2.0
#include "api/profile_engine.h"

#include <algorithm>

#include "api/backend.h"
#include "api/machine_peaks.h"
#include "base/error.h"
#include "engine/engine.h"
#include "runtime/session.h"

namespace veloz::api {
namespace {

using profile::Phase;

constexpr int64_t kPrefill = 512;
constexpr int64_t kContext = 256;
constexpr int64_t kBatchSizes[] = {1, 4, 16};

std::vector<int64_t> default_batch_sizes(const engine::Limits& limits) {
  std::vector<int64_t> sizes;
  for (const int64_t size : kBatchSizes)
    if (size <= std::min(limits.max_num_seqs, limits.max_num_batched_tokens)) sizes.push_back(size);
  return sizes;
}

/// Enough for the phases, and for what the executor runs between them.
profile::ServingLoad serving_load(const Phase& phase, const engine::Limits& limits) {
  profile::ServingLoad load{.batch_size = phase.batch_size};
  load.prompt_tokens = std::min(load.prompt_tokens, (limits.max_model_len + 1) / 2);
  load.new_tokens = std::min(load.new_tokens, limits.max_model_len - load.prompt_tokens);
  return load;
}

int64_t blocks_for(const std::vector<Phase>& phases, const engine::Limits& limits) {
  int64_t blocks = limits.max_blocks_per_seq();  // an executor wants room for one sequence
  for (const Phase& phase : phases) {
    const profile::ServingLoad load = serving_load(phase, limits);
    const Phase served = Phase::decode(phase.batch_size, load.prompt_tokens + load.new_tokens);
    blocks = std::max({blocks, num_kv_blocks(phase, limits), num_kv_blocks(served, limits)});
  }
  return blocks;
}

}  // namespace

std::vector<Phase> choose_phases(const ProfileRequest& request, const engine::Limits& limits) {
  const int64_t prefill = request.prefill.value_or(
      std::min({kPrefill, limits.max_num_batched_tokens, limits.max_model_len}));
  const int64_t context = request.context.value_or(std::min(kContext, limits.max_model_len - 1));
  std::vector<Phase> phases;
  if (prefill != 0) phases.push_back(Phase::prefill(prefill));
  for (const int64_t size :
       request.batch_sizes.empty() ? default_batch_sizes(limits) : request.batch_sizes)
    phases.push_back(Phase::decode(size, context));
  for (const Phase& phase : phases) check_phase(phase, limits);
  return phases;
}

profile::ProfileReport profile_engine(const std::filesystem::path& directory,
                                      const ProfileRequest& request) {
  const engine::Engine engine = engine::Engine::open(directory);
  const engine::Limits& limits = engine.plan().limits;
  const engine::Manifest& manifest = engine.manifest();
  const std::vector<Phase> phases = choose_phases(request, limits);
  const int64_t num_blocks = blocks_for(phases, limits);

  Backend backend = open_backend(request.backend, manifest.target);
  runtime::Session session(engine, *backend.device, *backend.registry, *backend.pool,
                           {.num_kv_blocks = num_blocks});
  PeakMeter meter(backend, {});
  profile::ProfileReport report{
      .engine = directory.string(), .backend = backend.description, .profile = {}};
  report.profile = profile::run_profile(session,
                                        {.phases = phases,
                                         .num_repeats = request.num_repeats,
                                         .measure_peaks = [&] { return meter.measure(); },
                                         .on_progress = request.on_progress},
                                        manifest.model.vocab_size);
  for (const Phase& phase : phases) {
    report.gaps.emplace_back();
    if (phase.kind != Phase::Kind::decode) continue;
    profile::ServingLoad load = serving_load(phase, limits);
    load.num_kv_blocks = num_blocks;
    report.gaps.back() = measure_serving_gap(session, manifest, load);
  }
  return report;
}

}  // namespace veloz::api
