// SPDX-License-Identifier: Apache-2.0
#include "runtime/load_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <new>
#include <numeric>
#include <span>

#include "base/error.h"
#include "base/files.h"
#include "base/numeric.h"

namespace veloz::runtime {
namespace {

constexpr size_t kAlignment = 64;

struct FreeHostMemory {
  void operator()(std::byte* memory) const {
    ::operator delete[](memory, std::align_val_t{kAlignment});
  }
};
using HostMemory = std::unique_ptr<std::byte[], FreeHostMemory>;

HostMemory allocate_host(size_t bytes) {
  HostMemory memory(new (std::align_val_t{kAlignment}, std::nothrow) std::byte[bytes]);
  if (memory == nullptr)
    throw Error(ErrorKind::out_of_memory,
                fmt::format("{} of host memory to load weights", format_bytes(bytes)),
                "free some memory, or load a smaller model");
  return memory;
}

/// The stored bytes are untrusted: their count must be what the layout takes for this shape.
void check_stored_bytes(const engine::Engine& engine, const KernelChoice& choice) {
  for (size_t i = 0; i < choice.stored.size(); ++i) {
    const engine::PlanWeight& weight = engine.plan().weights[i];
    const size_t expected = choice.stored[i]->packed_bytes(weight.shape);
    if (engine.weight_bytes(i) != expected)
      throw Error(
          ErrorKind::corrupt_data,
          fmt::format("weight \"{}\" has {} bytes, layout \"{}\" takes {} for {}", weight.name,
                      engine.weight_bytes(i), weight.layout, expected, to_string(weight.shape)),
          "rebuild the engine with `veloz build`");
  }
}

/// Changes the layout of one weight, a few panels at a time on each thread.
void repack(const engine::PlanWeight& weight, const ops::WeightLayout& from,
            const std::byte* from_bytes, const ops::WeightLayout& to, std::byte* to_bytes,
            ThreadPool& pool) {
  constexpr int64_t kRowsAtATime = 64;
  const int64_t panel = std::lcm(from.row_granularity, to.row_granularity);
  const int64_t rows_at_a_time = round_up(kRowsAtATime, panel);
  const size_t row_bytes =
      narrow<size_t>(weight.shape.num_elements() / weight.shape[0]) * dtype_bytes(weight.dtype);
  const int64_t rows = weight.shape[0];
  std::vector<HostMemory> plain;
  plain.reserve(narrow<size_t>(pool.num_threads()));
  for (int i = 0; i < pool.num_threads(); ++i)
    plain.push_back(allocate_host(narrow<size_t>(rows_at_a_time) * row_bytes));
  const int64_t num_parts = ceil_div(rows, rows_at_a_time);
  pool.run([&](int thread_idx) {
    for (int64_t part = thread_idx; part < num_parts; part += pool.num_threads()) {
      const ops::PackRange range{weight.dtype, weight.shape, part * rows_at_a_time,
                                 std::min((part + 1) * rows_at_a_time, rows)};
      std::byte* rows_plain = plain[static_cast<size_t>(thread_idx)].get();
      from.unpack(range, from_bytes + from.packed_offset(weight.shape, range.row_begin),
                  rows_plain);
      to.pack(range, rows_plain, to_bytes + to.packed_offset(weight.shape, range.row_begin));
    }
  });
}

}  // namespace

LoadedWeights load_weights(const engine::Engine& engine, const KernelChoice& choice, Device& device,
                           Stream& stream, ThreadPool& pool) {
  check_stored_bytes(engine, choice);
  const std::vector<engine::PlanWeight>& weights = engine.plan().weights;
  std::vector<size_t> offsets;
  size_t total = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    offsets.push_back(total);
    total += round_up(choice.layouts[i]->packed_bytes(weights[i].shape), kAlignment);
  }

  LoadedWeights loaded;
  loaded.buffer = device.allocate(std::max(total, kAlignment));
  auto* const device_base = static_cast<std::byte*>(loaded.buffer.data());
  const bool is_host = device.kind() == DeviceKind::cpu;
  const HostMemory staging = is_host ? nullptr : allocate_host(total);
  std::byte* const base = is_host ? device_base : staging.get();

  std::vector<HostMemory> as_stored(weights.size());  // of weights that change their layout
  std::vector<std::byte*> to;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (choice.stored[i] == choice.layouts[i]) {
      to.push_back(base + offsets[i]);
    } else {
      as_stored[i] = allocate_host(engine.weight_bytes(i));
      to.push_back(as_stored[i].get());
    }
    loaded.data.push_back(device_base + offsets[i]);
  }
  engine.read_weights(to, pool);
  for (size_t i = 0; i < weights.size(); ++i) {
    if (as_stored[i] == nullptr) continue;
    repack(weights[i], *choice.stored[i], as_stored[i].get(), *choice.layouts[i], base + offsets[i],
           pool);
    as_stored[i].reset();
    loaded.repacks.push_back(fmt::format("{}: {} -> {}, {}", weights[i].name,
                                         choice.stored[i]->name, choice.layouts[i]->name,
                                         format_bytes(engine.weight_bytes(i))));
  }
  if (!is_host) {
    device.copy_in(stream, device_base, base, total);
    stream.synchronize();
  }
  return loaded;
}

}  // namespace veloz::runtime
