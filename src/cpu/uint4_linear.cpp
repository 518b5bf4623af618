// SPDX-License-Identifier: Apache-2.0
#include "cpu/uint4_linear.h"

#include <algorithm>

#include "base/error.h"
#include "base/numeric.h"
#include "cpu/parallel.h"
#include "cpu/scales.h"

namespace veloz::cpu {
namespace {

// Half of a second-level cache of 1 MiB; the panel at work and the one on its way take little.
constexpr int64_t kBlockBytes = int64_t{512} * 1024;
constexpr int64_t kPrefetchDistance = 64 * kStepBytes;
constexpr int32_t kMiddleCode = 8;  // the zero of weights that have none
constexpr size_t kAlignment = 64;

/// The rows of x and the sums of their groups as tiles read them, tile after tile.
struct PackedRows {
  int32_t* corrections;  // [rows, num_groups]
  int8_t* x;             // [rows, K]
};

size_t packed_rows_bytes(int64_t num_rows, int64_t num_groups, int64_t k) {
  return round_up(static_cast<size_t>(num_rows * (num_groups * 4 + k)), kAlignment);
}

class Uint4Linear {
 public:
  Uint4Linear(const ops::QuantizedLinearArgs& args, const Uint4Micro& micro)
      : args_(args),
        micro_(micro),
        num_rows_(args.x.shape[0]),
        k_(args.k_extent()),
        num_groups_(args.num_groups()),
        num_tiles_(ceil_div(num_rows_, micro.max_rows)),
        tiles_per_block_(std::max<int64_t>(1, kBlockBytes / (k_ * micro.max_rows))),
        scale_type_(scale_type_of(args.w_scales.dtype)),
        panel_bytes_(k_ / kUint4StepColumns * kStepBytes),
        group_scale_bytes_(kPanelWidth * bytes_of(scale_type_)) {}

  int64_t num_tiles() const { return num_tiles_; }

  PackedRows packed_rows(std::byte* memory) const {
    return {.corrections = reinterpret_cast<int32_t*>(memory),
            .x = reinterpret_cast<int8_t*>(memory) + 4 * num_rows_ * num_groups_};
  }

  void pack(Range tiles, const PackedRows& to) const {
    for (int64_t i = tiles.begin; i < tiles.end; ++i) {
      const Range rows = rows_of(i);
      micro_.pack_rows({.x = args_.x.row<const int8_t>(rows.begin),
                        .x_stride = args_.x.row_stride,
                        .num_rows = rows.size(),
                        .num_groups = num_groups_,
                        .group = args_.group(),
                        .factor = args_.w_zeros.data == nullptr ? -kMiddleCode : -1,
                        .packed = rows.size() == 1 ? nullptr : to.x + rows.begin * k_,
                        .corrections = to.corrections + rows.begin * num_groups_});
    }
  }

  void run(Range panels, const PackedRows& rows) const {
    for (int64_t begin = 0; begin < num_tiles_; begin += tiles_per_block_) {
      const Range tiles{begin, std::min(begin + tiles_per_block_, num_tiles_)};
      for (int64_t panel = panels.begin; panel < panels.end; ++panel)
        for (int64_t i = tiles.begin; i < tiles.end; ++i)
          run_tile(panel, i, prefetch_of(tiles, i), rows);
    }
  }

 private:
  struct Prefetch {
    ptrdiff_t w;
    ptrdiff_t scales;
  };
  /// A single tile uses each panel once: it runs ahead of itself, into the next panel too. Of
  /// several the first one brings the next panel.
  Prefetch prefetch_of(Range tiles, int64_t tile) const {
    if (tile != tiles.begin) return {0, 0};
    if (tiles.size() > 1) return {panel_bytes_, num_groups_ * group_scale_bytes_};
    return {kPrefetchDistance,
            ceil_div(kPrefetchDistance * num_groups_, panel_bytes_) * group_scale_bytes_};
  }

  Range rows_of(int64_t tile) const { return part_of(num_rows_, tile, num_tiles_); }

  void run_tile(int64_t panel, int64_t tile, Prefetch prefetch, const PackedRows& packed) const {
    const Range rows = rows_of(tile);
    const int64_t first_scale = panel * num_groups_;
    float sums[kMaxUint4Rows * kPanelWidth];
    micro_.tiles[rows.size() - 1](
        {.x = rows.size() == 1 ? args_.x.row<const int8_t>(rows.begin) : packed.x + rows.begin * k_,
         .corrections = packed.corrections + rows.begin * num_groups_,
         .x_scales = args_.x_scales.row<const float>(rows.begin),
         .x_scale_stride = args_.x_scales.row_stride,
         .w = args_.w.as<const char>() + panel * panel_bytes_,
         .scales = args_.w_scales.as<const char>() + first_scale * group_scale_bytes_,
         .scale_type = scale_type_,
         .zeros = args_.w_zeros.data == nullptr
                      ? nullptr
                      : args_.w_zeros.as<const uint8_t>() + first_scale * kPanelWidth,
         .num_groups = num_groups_,
         .chunks_per_group = args_.group() / (kUint4ChunkSteps * kUint4StepColumns),
         .w_prefetch = prefetch.w,
         .scale_prefetch = prefetch.scales,
         .sums = sums});
    store(rows, panel * kPanelWidth, sums);
  }

  void store(Range rows, int64_t column, const float* sums) const {
    const TensorView& y = args_.y;
    const auto element_bytes = static_cast<int64_t>(dtype_bytes(y.dtype));
    micro_.store(
        {.sums = sums,
         .sums_stride = kPanelWidth,
         .num_rows = rows.size(),
         .num_columns = std::min(kPanelWidth, y.shape[1] - column),
         .bias = args_.bias.data == nullptr ? nullptr : args_.bias.as<const float>() + column,
         .y = y.as<char>() + (rows.begin * y.row_stride + column) * element_bytes,
         .y_stride = y.row_stride * element_bytes,
         .is_bf16 = y.dtype == DType::bf16});
  }

  const ops::QuantizedLinearArgs& args_;
  const Uint4Micro& micro_;
  const int64_t num_rows_;
  const int64_t k_;
  const int64_t num_groups_;
  const int64_t num_tiles_;
  const int64_t tiles_per_block_;
  const ScaleType scale_type_;
  const int64_t panel_bytes_;
  const int64_t group_scale_bytes_;
};

}  // namespace

size_t uint4_linear_workspace_bytes(const ops::OpCall& call, int num_threads) {
  const int64_t num_rows = call.inputs[0].shape[0], k = call.inputs[0].shape[1];
  const int64_t num_groups = call.inputs[3].shape[1];
  // Of one tile each thread has a copy of its own; this must not fall when rows are added.
  return std::max(packed_rows_bytes(num_rows, num_groups, k),
                  static_cast<size_t>(num_threads) *
                      packed_rows_bytes(std::min(num_rows, kMaxUint4Rows), num_groups, k));
}

void uint4_linear(ops::OpContext& context, const ops::QuantizedLinearArgs& args,
                  const Uint4Micro& micro) noexcept {
  if (args.x.shape[0] == 0) return;
  const Uint4Linear linear(args, micro);
  const int num_threads = context.pool->num_threads();
  const bool is_one_tile = linear.num_tiles() == 1;
  std::byte* const memory = context.workspace.data();
  const size_t copy_bytes = packed_rows_bytes(args.x.shape[0], args.num_groups(), args.k_extent());
  VELOZ_DCHECK(
      context.workspace.size() >= copy_bytes * static_cast<size_t>(is_one_tile ? num_threads : 1),
      "workspace of {} bytes", context.workspace.size());
  // To wait for each other would cost more than to pack a few rows once on each thread.
  if (!is_one_tile)
    context.pool->for_range(linear.num_tiles(), 1, [&](int64_t begin, int64_t end) {
      linear.pack({begin, end}, linear.packed_rows(memory));
    });
  const int64_t num_panels = ceil_div(args.y.shape[1], kPanelWidth);
  context.pool->run([&](int thread_idx) {
    const Range panels = part_of(num_panels, thread_idx, num_threads);
    if (panels.size() == 0) return;
    const PackedRows rows = linear.packed_rows(
        memory + (is_one_tile ? static_cast<size_t>(thread_idx) * copy_bytes : 0));
    if (is_one_tile) linear.pack({0, 1}, rows);
    linear.run(panels, rows);
  });
}

}  // namespace veloz::cpu
