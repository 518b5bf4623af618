// SPDX-License-Identifier: Apache-2.0
#include "api/plan_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <utility>

#include "api/available_memory.h"
#include "api/backend.h"
#include "api/build_options.h"
#include "api/executor_options.h"
#include "api/kv_budget.h"
#include "api/machine_peaks.h"
#include "api/profile_engine.h"
#include "base/error.h"
#include "compiler/build.h"
#include "engine/engine.h"

namespace veloz::api {
namespace {

namespace fs = std::filesystem;

constexpr int kPeakSamples = 7;

/// What is known of a model before it is loaded.
struct Known {
  engine::Plan plan;
  uint64_t tokenizer_bytes = 0;
};

uint64_t tokenizer_bytes(const fs::path& directory) {
  for (const char* name : {"tokenizer.json", "tokenizer.model"}) {
    std::error_code error;
    const uintmax_t bytes = fs::file_size(directory / name, error);
    if (!error) return bytes;
  }
  return 0;
}

Known find_out(const BuildOptions& options) {
  if (engine::Engine::is_engine(options.model)) {
    const engine::Engine engine = engine::Engine::open(options.model);
    return {engine.plan(), tokenizer_bytes(engine.tokenizer_directory())};
  }
  return {compiler::plan_model(to_compile_options(options), target_registry(options.target)).plan,
          tokenizer_bytes(options.model)};
}

uint64_t left_of(uint64_t memory_bytes, uint64_t used_bytes) {
  return memory_bytes > used_bytes ? memory_bytes - used_bytes : 0;
}

profile::Footprint footprint_of(const PlanRequest& request, const Known& known,
                                const Backend& backend, uint64_t memory_bytes) {
  const engine::Plan& plan = known.plan;
  profile::Footprint footprint = profile::predict_footprint(
      plan, *backend.registry,
      {.num_threads = backend.pool->num_threads(), .tokenizer_file_bytes = known.tokenizer_bytes});
  const int64_t num_blocks =
      count_kv_blocks(plan, {.max_num_seqs = choose_max_num_seqs(request.llm, plan.limits),
                             .memory_bytes = request.llm.kv_cache_memory_bytes,
                             .size = request.llm.kv_cache_size,
                             .free_bytes = left_of(memory_bytes, footprint.weight_bytes)});
  // With less a server does not start, so that much is needed.
  footprint.num_kv_blocks = std::max(num_blocks, plan.limits.max_blocks_per_seq());
  return footprint;
}

[[noreturn]] void refuse_peaks(std::string_view text, const std::string& why) {
  throw Error(ErrorKind::invalid_input, fmt::format("--peaks \"{}\": {}", text, why),
              "give GB/s and Gop/s as `veloz doctor` prints them: "
              "dram_read=48,fp32_fma=226,bf16_dot=440,int8_dot=917");
}

}  // namespace

profile::PlanReport plan_model(const PlanRequest& request) {
  if (target_of_device(request.llm.device) == "cuda")
    throw Error(ErrorKind::unsupported,
                fmt::format("--device {}: memory and speed are predicted for the CPU alone",
                            request.llm.device),
                "leave --device out; on a GPU `veloz profile` measures");
  const Known known = find_out(request.build);
  Backend backend = open_cpu(request.llm.isa, request.llm.num_threads);
  profile::PlanReport report{
      .model = request.build.model.string(),
      .backend = backend.description,
      .limits = known.plan.limits,
      .footprint = {},
      .memory_bytes = request.memory_bytes.value_or(available_memory_bytes()),
      .peaks = {},
      .are_peaks_given = request.peaks.has_value(),
      .speeds = {}};
  report.footprint = footprint_of(request, known, backend, report.memory_bytes);
  const std::vector<profile::Phase> phases = choose_phases(
      {.batch_sizes = request.batch_sizes, .prefill = request.prefill, .context = request.context},
      known.plan.limits);
  report.peaks = request.peaks
                     ? *request.peaks
                     : PeakMeter(backend, {.isa = request.llm.isa}).measure_median(kPeakSamples);
  for (const profile::Phase& phase : phases)
    report.speeds.push_back(predict_speed(known.plan, phase, report.peaks));
  return report;
}

profile::MachinePeaks parse_peaks(std::string_view text) {
  constexpr double kGiga = 1e9;
  profile::MachinePeaks peaks;
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view part = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(part.size() + 1, rest.size()));
    const size_t equals = std::min(part.find('='), part.size());
    const std::string_view name = part.substr(0, equals);
    double value = 0;
    const char* const begin = part.data() + std::min(equals + 1, part.size());
    const char* const end = part.data() + part.size();
    const auto [stop, error] = std::from_chars(begin, end, value);
    if (error != std::errc{} || stop != end || !(value > 0) || value > 1e9)
      refuse_peaks(text, fmt::format("\"{}\" is not NAME=RATE", part));
    const auto* const roof = std::ranges::find(profile::kRoofs, name,
                                               [](profile::Roof each) { return to_string(each); });
    if (roof == profile::kRoofs.end())
      refuse_peaks(text, fmt::format("there is no limit \"{}\"", name));
    peaks.rate(*roof) = value * kGiga;
  }
  for (const profile::Roof roof : {profile::Roof::dram_read, profile::Roof::fp32_fma})
    if (!(peaks.rate(roof) > 0)) refuse_peaks(text, fmt::format("{} is missing", to_string(roof)));
  return peaks;
}

}  // namespace veloz::api
