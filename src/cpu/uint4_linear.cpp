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
constexpr int64_t kMaxTilesSharing = 8;  // of the asking for what comes next
constexpr int32_t kMiddleCode = 8;       // the zero of weights that have none
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
        has_pairs_(micro.max_pair_rows > 0 && num_rows_ > micro.max_rows),
        max_tile_rows_(has_pairs_ ? micro.max_pair_rows : micro.max_rows),
        num_tiles_(ceil_div(num_rows_, max_tile_rows_)),
        tiles_per_block_(std::max<int64_t>(1, kBlockBytes / (k_ * max_tile_rows_))),
        scale_type_(scale_type_of(args.w_scales.dtype)),
        panel_bytes_(k_ / kUint4StepColumns * kStepBytes),
        group_scale_bytes_(kPanelWidth * bytes_of(scale_type_)) {}

  int64_t num_tiles() const { return num_tiles_; }
  int64_t panels_per_tile() const { return has_pairs_ ? 2 : 1; }

  PackedRows packed_rows(std::byte* memory) const {
    return {.corrections = reinterpret_cast<int32_t*>(memory),
            .x = reinterpret_cast<int8_t*>(memory) + 4 * num_rows_ * num_groups_};
  }

  void pack(int64_t tile, Range groups, const PackedRows& to) const {
    const Range rows = rows_of(tile);
    const int64_t column = groups.begin * args_.group();
    micro_.pack_rows(
        {.x = args_.x.row<const int8_t>(rows.begin) + column,
         .x_stride = args_.x.row_stride,
         .num_rows = rows.size(),
         .num_groups = groups.size(),
         .group = args_.group(),
         .factor = args_.w_zeros.data == nullptr ? -kMiddleCode : -1,
         .packed = rows.size() == 1 ? nullptr : to.x + rows.begin * k_ + column * rows.size(),
         .corrections = to.corrections + rows.begin * num_groups_ + groups.begin * rows.size()});
  }

  void run(Range panels, const PackedRows& rows) const {
    for (int64_t begin = 0; begin < num_tiles_; begin += tiles_per_block_) {
      const Range tiles{begin, std::min(begin + tiles_per_block_, num_tiles_)};
      for (int64_t panel = panels.begin; panel < panels.end; panel += panels_per_tile())
        for (int64_t i = tiles.begin; i < tiles.end; ++i)
          run_tile({panel, std::min(panel + panels_per_tile(), panels.end)}, i, tiles, rows);
    }
  }

 private:
  struct Prefetch {
    const char* w;
    ptrdiff_t step;
    const char* scales;
    bool is_far;
  };
  const char* weights(int64_t panel) const {
    return args_.w.as<const char>() + panel * panel_bytes_;
  }
  const char* scales(int64_t panel) const {
    return args_.w_scales.as<const char>() + panel * num_groups_ * group_scale_bytes_;
  }
  /// A single tile uses each panel once: it runs ahead of itself, into the next panel too. A few
  /// bring an equal share of the next panels each, all the way: on the way to the second-level
  /// cache alone, lines would hold up those that tiles read from there. Of many, which compute for
  /// long, the first one brings all.
  Prefetch prefetch_of(Range panels, int64_t tile, Range tiles) const {
    if (num_rows_ <= micro_.max_rows)
      return {.w = weights(panels.begin) + kReadAheadBytes,
              .step = kStepBytes,
              .scales = scales(panels.begin) +
                        ceil_div(kReadAheadBytes * num_groups_, panel_bytes_) * group_scale_bytes_,
              .is_far = false};
    const int64_t idx = tile - tiles.begin;
    const char* const next_scales = idx == 0 ? scales(panels.end) : nullptr;
    if (tiles.size() > kMaxTilesSharing)
      return {.w = idx == 0 ? weights(panels.end) : nullptr,
              .step = kStepBytes,
              .scales = next_scales,
              .is_far = true};
    return {.w = weights(panels.end) + round_up(panel_bytes_ * idx / tiles.size(), kStepBytes),
            .step = ceil_div(kStepBytes, tiles.size()),
            .scales = next_scales,
            .is_far = false};
  }

  Range rows_of(int64_t tile) const { return part_of(num_rows_, tile, num_tiles_); }

  void run_tile(Range panels, int64_t tile, Range tiles, const PackedRows& packed) const {
    const Range rows = rows_of(tile);
    const Prefetch prefetch = prefetch_of(panels, tile, tiles);
    float sums[kMaxUint4Rows * kUint4SumsStride];
    const auto* const functions = panels.size() == 2 ? micro_.pair_tiles : micro_.tiles;
    functions[rows.size() - 1](
        {.x = rows.size() == 1 ? args_.x.row<const int8_t>(rows.begin) : packed.x + rows.begin * k_,
         .corrections = packed.corrections + rows.begin * num_groups_,
         .x_scales = args_.x_scales.row<const float>(rows.begin),
         .x_scale_stride = args_.x_scales.row_stride,
         .w = weights(panels.begin),
         .w_stride = panel_bytes_,
         .scales = scales(panels.begin),
         .scale_type = scale_type_,
         .zeros = args_.w_zeros.data == nullptr ? nullptr
                                                : args_.w_zeros.as<const uint8_t>() +
                                                      panels.begin * num_groups_ * kPanelWidth,
         .num_groups = num_groups_,
         .chunks_per_group = args_.group() / (kUint4ChunkSteps * kUint4StepColumns),
         .prefetch = prefetch.w,
         .prefetch_step = prefetch.step,
         .scale_prefetch = prefetch.scales,
         .prefetch_is_far = prefetch.is_far,
         .sums = sums});
    store(rows, panels, sums);
  }

  void store(Range rows, Range panels, const float* sums) const {
    const TensorView& y = args_.y;
    const int64_t column = panels.begin * kPanelWidth;
    const auto element_bytes = static_cast<int64_t>(dtype_bytes(y.dtype));
    micro_.store(
        {.sums = sums,
         .sums_stride = kUint4SumsStride,
         .num_rows = rows.size(),
         .num_columns = std::min(panels.size() * kPanelWidth, y.shape[1] - column),
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
  const bool has_pairs_;  // where inputs are read often: each then serves two panels
  const int64_t max_tile_rows_;
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
    context.pool->run([&](int thread_idx) {
      const Range groups = part_of(args.num_groups(), thread_idx, num_threads);
      for (int64_t tile = 0; tile < linear.num_tiles(); ++tile)
        linear.pack(tile, groups, linear.packed_rows(memory));
    });
  const int64_t num_panels = ceil_div(args.y.shape[1], kPanelWidth);
  for_shared_ranges(*context.pool, num_panels, linear.panels_per_tile(), [&](int thread_idx) {
    const PackedRows rows = linear.packed_rows(
        memory + (is_one_tile ? static_cast<size_t>(thread_idx) * copy_bytes : 0));
    if (is_one_tile) linear.pack(0, {0, args.num_groups()}, rows);
    return [&linear, rows](Range panels) { linear.run(panels, rows); };
  });
}

}  // namespace veloz::cpu
