// SPDX-License-Identifier: Apache-2.0
#include "api/gpu_kv_budget.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "api/kv_budget.h"
#include "base/error.h"
#include "base/files.h"

namespace veloz::api {
namespace {

constexpr uint64_t kSamplingBytes = uint64_t{256} << 20;  // lists and scratch beside the step
constexpr uint64_t kLibraryBytes = uint64_t{256} << 20;   // 64 MiB of scratch, and its code

/// What is there and what is taken before the cache.
struct GpuBudget {
  uint64_t allowed = 0;
  uint64_t taken = 0;
  std::string text;

  uint64_t left() const { return allowed > taken ? allowed - taken : 0; }
};

GpuBudget budget_of(const profile::Footprint& footprint, const GpuKvDemand& demand) {
  const cuda::GpuMemory& memory = demand.memory;
  const uint64_t used = memory.total_bytes - memory.free_bytes;
  const auto share =
      static_cast<uint64_t>(demand.utilization * static_cast<double>(memory.total_bytes));
  const uint64_t others = footprint.arena_bytes + footprint.workspace_bytes +
                          footprint.input_bytes + kSamplingBytes +
                          (demand.uses_library ? kLibraryBytes : 0);
  GpuBudget budget;
  budget.allowed = share > used ? share - used : 0;
  budget.taken = footprint.weight_bytes + others;
  budget.text = fmt::format(
      "weights {} and buffers {} take {}; {:.0f} % of the GPU's {} less {} in use are {}",
      format_bytes(footprint.weight_bytes), format_bytes(others), format_bytes(budget.taken),
      demand.utilization * 100, format_bytes(memory.total_bytes), format_bytes(used),
      format_bytes(budget.allowed));
  return budget;
}

}  // namespace

int64_t count_gpu_kv_blocks(const engine::Plan& plan, const profile::Footprint& footprint,
                            const GpuKvDemand& demand) {
  if (!(demand.utilization > 0 && demand.utilization <= 1))
    throw Error(ErrorKind::invalid_input,
                fmt::format("--gpu-memory-utilization is {}, it must be above 0 and at most 1",
                            demand.utilization),
                "give an allowed value, or leave it out");
  const GpuBudget budget = budget_of(footprint, demand);
  if (budget.left() == 0)
    throw Error(ErrorKind::out_of_memory, fmt::format("the model does not fit: {}", budget.text),
                "quantize the model (--quant fp8), build it with lower limits, free the GPU, or "
                "raise --gpu-memory-utilization");
  if (demand.memory_bytes > budget.left())
    throw Error(
        ErrorKind::out_of_memory,
        fmt::format("a KV cache of {} does not fit: {}, which leaves {}",
                    format_bytes(demand.memory_bytes), budget.text, format_bytes(budget.left())),
        "lower --kv-cache-memory-bytes, or leave it out");
  const auto per_sequence = static_cast<uint64_t>(plan.limits.max_blocks_per_seq());
  const uint64_t most =
      kMostTimesNeeded * static_cast<uint64_t>(demand.max_num_seqs) * per_sequence;
  const uint64_t bytes = demand.memory_bytes > 0 ? demand.memory_bytes : budget.left();
  const uint64_t num_blocks =
      std::min({bytes / footprint.kv_block_bytes, uint64_t{1} << 30,
                demand.memory_bytes > 0 ? uint64_t{1} << 30 : std::max(most, per_sequence)});
  if (num_blocks < per_sequence)
    throw Error(
        ErrorKind::out_of_memory,
        fmt::format("a KV cache of {} holds {} blocks, one sequence of {} positions needs {} ({}); "
                    "{}",
                    format_bytes(bytes), num_blocks, plan.limits.max_model_len, per_sequence,
                    format_bytes(per_sequence * footprint.kv_block_bytes), budget.text),
        demand.memory_bytes > 0
            ? "raise --kv-cache-memory-bytes, or build the engine with a lower --max-model-len"
            : "raise --gpu-memory-utilization, or build the engine with a lower --max-model-len");
  return static_cast<int64_t>(num_blocks);
}

}  // namespace veloz::api
