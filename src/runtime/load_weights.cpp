// SPDX-License-Identifier: Apache-2.0
#include "runtime/load_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <new>
#include <numeric>
#include <optional>
#include <span>

#include "base/error.h"
#include "base/files.h"
#include "base/numeric.h"
#include "runtime/dummy_weights.h"

namespace veloz::runtime {
namespace {

constexpr size_t kWeightAlignment = 64;

struct FreeHostMemory {
  void operator()(std::byte* memory) const {
    ::operator delete[](memory, std::align_val_t{kWeightAlignment});
  }
};
using HostMemory = std::unique_ptr<std::byte[], FreeHostMemory>;

HostMemory allocate_host(size_t bytes) {
  HostMemory memory(new (std::align_val_t{kWeightAlignment}, std::nothrow) std::byte[bytes]);
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

/// Packs one weight, a few panels at a time on each thread. `read_plain` gives a range's rows as in
/// layout "plain"; ranges are whole panels of `granularity` rows too.
void pack_by_panels(const engine::PlanWeight& weight, int64_t granularity,
                    const std::function<void(const ops::PackRange&, std::byte*)>& read_plain,
                    const ops::WeightLayout& to, std::byte* to_bytes, ThreadPool& pool) {
  constexpr int64_t kRowsAtATime = 64;
  const int64_t rows_at_a_time = round_up(kRowsAtATime, std::lcm(granularity, to.row_granularity));
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
      read_plain(range, rows_plain);
      to.pack(range, rows_plain, to_bytes + to.packed_offset(weight.shape, range.row_begin));
    }
  });
}

/// Brings the weights of one engine to one device.
class Loader {
 public:
  Loader(const engine::Engine& engine, const KernelChoice& choice, Device& device, Stream& stream,
         ThreadPool& pool)
      : engine_(engine),
        weights_(engine.plan().weights),
        choice_(choice),
        device_(device),
        stream_(stream),
        pool_(pool) {}

  LoadedWeights run() {
    allocate();
    const bool is_host = device_.kind() == DeviceKind::cpu;
    if (const std::optional<uint64_t> seed = engine_.manifest().dummy_seed) {
      make_dummies(dummy_weights(engine_.plan(), *seed), is_host);
    } else {
      check_stored_bytes(engine_, choice_);
      if (is_host)
        load_to_host();
      else
        load_through_staging();
    }
    return std::move(loaded_);
  }

 private:
  size_t packed_bytes(size_t i) const {
    return choice_.layouts[i]->packed_bytes(weights_[i].shape);
  }
  std::byte* place(size_t i) const { return static_cast<std::byte*>(loaded_.data[i]); }
  bool changes_layout(size_t i) const { return choice_.stored[i] != choice_.layouts[i]; }

  void allocate() {
    size_t total = 0;
    std::vector<size_t> offsets;
    for (size_t i = 0; i < weights_.size(); ++i) {
      offsets.push_back(total);
      total += round_up(packed_bytes(i), kWeightAlignment);
    }
    loaded_.buffer = device_.allocate(std::max(total, kWeightAlignment));
    for (const size_t offset : offsets)
      loaded_.data.push_back(static_cast<std::byte*>(loaded_.buffer.data()) + offset);
  }

  void repack(size_t i, const std::byte* stored, std::byte* to) {
    const ops::WeightLayout& from = *choice_.stored[i];
    pack_by_panels(
        weights_[i], from.row_granularity,
        [&](const ops::PackRange& range, std::byte* plain) {
          from.unpack(range, stored + from.packed_offset(range.shape, range.row_begin), plain);
        },
        *choice_.layouts[i], to, pool_);
    loaded_.repacks.push_back(fmt::format("{}: {} -> {}, {}", weights_[i].name, from.name,
                                          choice_.layouts[i]->name,
                                          format_bytes(engine_.weight_bytes(i))));
  }

  /// Straight to their places, but for those that change their layout.
  void load_to_host() {
    std::vector<HostMemory> as_stored(weights_.size());
    std::vector<std::byte*> to;
    for (size_t i = 0; i < weights_.size(); ++i) {
      if (changes_layout(i)) as_stored[i] = allocate_host(engine_.weight_bytes(i));
      to.push_back(changes_layout(i) ? as_stored[i].get() : place(i));
    }
    engine_.read_weights(to, pool_);
    for (size_t i = 0; i < weights_.size(); ++i) {
      if (as_stored[i] == nullptr) continue;
      repack(i, as_stored[i].get(), place(i));
      as_stored[i].reset();
    }
  }

  /// Group by group, so that the host never holds the model.
  void load_through_staging() {
    const std::vector<size_t> ends = group_ends();
    size_t most = 0;
    size_t most_packed = 0;
    for (size_t group = 0, begin = 0; group < ends.size(); begin = ends[group++]) {
      size_t bytes = 0;
      for (size_t i = begin; i < ends[group]; ++i) {
        bytes += round_up(engine_.weight_bytes(i), kWeightAlignment);
        if (changes_layout(i)) most_packed = std::max(most_packed, packed_bytes(i));
      }
      most = std::max(most, bytes);
    }
    const Buffer staging = device_.allocate_host(most);
    const Buffer packed = device_.allocate_host(most_packed);
    for (size_t group = 0, begin = 0; group < ends.size(); begin = ends[group++])
      load_group(begin, ends[group], static_cast<std::byte*>(staging.data()),
                 static_cast<std::byte*>(packed.data()));
  }

  /// One past the last weight of each group.
  std::vector<size_t> group_ends() const {
    constexpr size_t kGroupBytes = size_t{256} << 20;
    std::vector<size_t> ends;
    size_t bytes = 0;
    for (size_t i = 0; i < weights_.size(); ++i) {
      const size_t own = round_up(engine_.weight_bytes(i), kWeightAlignment);
      if (bytes > 0 && bytes + own > kGroupBytes) {
        ends.push_back(i);
        bytes = 0;
      }
      bytes += own;
    }
    if (!weights_.empty()) ends.push_back(weights_.size());
    return ends;
  }

  void load_group(size_t begin, size_t end, std::byte* staging, std::byte* packed) {
    std::vector<std::byte*> to(weights_.size(), nullptr);
    for (size_t i = begin; i < end; ++i) {
      to[i] = staging;
      staging += round_up(engine_.weight_bytes(i), kWeightAlignment);
    }
    engine_.read_weights(to, pool_);
    for (size_t i = begin; i < end; ++i) {
      if (!changes_layout(i)) {
        device_.copy_in(stream_, place(i), to[i], packed_bytes(i));
        continue;
      }
      stream_.synchronize();  // the weight before has left `packed`
      repack(i, to[i], packed);
      device_.copy_in(stream_, place(i), packed, packed_bytes(i));
    }
    stream_.synchronize();
  }

  void make_dummies(const std::vector<DummyValues>& values, bool is_host) {
    for (size_t i = 0; i < weights_.size(); ++i) {
      if (is_host) {
        make_on_host(i, values[i], place(i));
      } else if (choice_.layouts[i]->name == "plain") {
        device_.write_dummy(stream_, place(i), values[i], weights_[i].shape.num_elements());
      } else {
        const Buffer packed = device_.allocate_host(packed_bytes(i));
        make_on_host(i, values[i], static_cast<std::byte*>(packed.data()));
        device_.copy_in(stream_, place(i), packed.data(), packed_bytes(i));
        stream_.synchronize();
      }
    }
    stream_.synchronize();
  }

  void make_on_host(size_t i, const DummyValues& values, std::byte* to) {
    pack_by_panels(
        weights_[i], 1,
        [&](const ops::PackRange& range, std::byte* plain) {
          const int64_t columns = range.shape.num_elements() / range.shape[0];
          write_dummy_values(values, range.row_begin * columns,
                             (range.row_end - range.row_begin) * columns, plain);
        },
        *choice_.layouts[i], to, pool_);
  }

  const engine::Engine& engine_;
  const std::vector<engine::PlanWeight>& weights_;
  const KernelChoice& choice_;
  Device& device_;
  Stream& stream_;
  ThreadPool& pool_;
  LoadedWeights loaded_;
};

}  // namespace

LoadedWeights load_weights(const engine::Engine& engine, const KernelChoice& choice, Device& device,
                           Stream& stream, ThreadPool& pool) {
  return Loader(engine, choice, device, stream, pool).run();
}

}  // namespace veloz::runtime
