// SPDX-License-Identifier: Apache-2.0
#include "api/kv_budget.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "base/error.h"
#include "base/files.h"
#include "runtime/session.h"

namespace veloz::api {
namespace {

/// What the system says is available, limited by the cgroup.
uint64_t available_memory_bytes() {
  uint64_t available = uint64_t{1} << 30;
  std::ifstream meminfo("/proc/meminfo");
  for (std::string key, unit; meminfo >> key;) {
    uint64_t kib = 0;
    if (key == "MemAvailable:" && meminfo >> kib) {
      available = kib * 1024;
      break;
    }
    std::getline(meminfo, unit);
  }
  uint64_t limit = 0;
  uint64_t used = 0;
  std::ifstream limit_file("/sys/fs/cgroup/memory.max");
  std::ifstream used_file("/sys/fs/cgroup/memory.current");
  if (limit_file >> limit && used_file >> used)
    available = std::min(available, limit > used ? limit - used : 0);
  return available;
}

}  // namespace

int64_t choose_num_kv_blocks(const engine::Engine& engine, int64_t max_num_seqs,
                             size_t memory_bytes) {
  const engine::Limits& limits = engine.plan().limits;
  const uint64_t block_bytes = runtime::kv_block_bytes(engine.plan());
  const auto per_sequence = static_cast<uint64_t>(limits.max_blocks_per_seq());
  uint64_t budget = memory_bytes;
  if (budget == 0) {
    uint64_t weight_bytes = 0;
    for (size_t i = 0; i < engine.plan().weights.size(); ++i)
      weight_bytes += engine.weight_bytes(i);
    const uint64_t available = available_memory_bytes();
    const uint64_t free_bytes = available > weight_bytes ? available - weight_bytes : 0;
    budget =
        std::min(free_bytes / 2, static_cast<uint64_t>(max_num_seqs) * per_sequence * block_bytes);
  }
  const uint64_t num_blocks = std::min<uint64_t>(budget / block_bytes, uint64_t{1} << 30);
  if (num_blocks < per_sequence)
    throw Error(
        ErrorKind::out_of_memory,
        fmt::format("a KV cache of {} holds {} blocks, one sequence of {} positions needs {} ({})",
                    format_bytes(budget), num_blocks, limits.max_model_len, per_sequence,
                    format_bytes(per_sequence * block_bytes)),
        "raise --kv-cache-memory-bytes, or build the engine with a lower --max-model-len");
  return static_cast<int64_t>(num_blocks);
}

}  // namespace veloz::api
