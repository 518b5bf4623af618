// SPDX-License-Identifier: Apache-2.0
#include "cpu/linear.h"

#include <algorithm>

#include "base/error.h"
#include "base/numeric.h"
#include "cpu/parallel.h"

namespace veloz::cpu {
namespace {

// 4 panels x 1024 steps x 64 bytes = 256 KiB: two such blocks, one at work and one on its way from
// memory, fit in a second-level cache of 1 MiB beside the rows of x.
constexpr int64_t kStepsPerBlock = 1024;
constexpr int64_t kRowsPerBlock = 84 * kMaxTileRows;
constexpr int64_t kPrefetchDistance = 64 * kStepBytes;
constexpr int64_t kSumsStride = kMaxTilePanels * kPanelWidth;

/// A few panels and a range of K: what one pass over the rows of a block works on.
struct PanelBlock {
  Range panels;
  Range steps;  // the half step after the last one excluded
  bool is_first;
  bool is_last;
};

/// One thread's share of a linear.
class PanelWorker {
 public:
  PanelWorker(const ops::LinearArgs& args, const GemmMicro& micro, Range panels, float* sums)
      : args_(args),
        micro_(micro),
        panels_(panels),
        sums_(sums),
        group_(args.w.dtype == DType::fp32 ? 1 : 2),
        num_steps_(args.x.shape[1] / group_),
        has_half_step_(args.x.shape[1] % group_ != 0),
        panel_bytes_((num_steps_ + (has_half_step_ ? 1 : 0)) * kStepBytes),
        blocking_(choose_linear_blocking(args.x.shape[0], num_steps_)) {}

  void run() {
    for (int64_t begin = 0; begin < args_.x.shape[0]; begin += blocking_.rows)
      run_rows({begin, std::min(begin + blocking_.rows, args_.x.shape[0])});
  }

 private:
  int64_t num_groups() const { return ceil_div(panels_.size(), micro_.max_panels); }
  int64_t num_k_blocks() const {
    return std::max<int64_t>(1, ceil_div(num_steps_, blocking_.steps));
  }

  /// Blocks in the order of work: all of K for some panels, then the next panels.
  PanelBlock block(int64_t idx) const {
    const int64_t k_block = idx % num_k_blocks();
    const Range group = part_of(panels_.size(), idx / num_k_blocks(), num_groups());
    return {
        .panels = {panels_.begin + group.begin, panels_.begin + group.end},
        .steps = {k_block * blocking_.steps, std::min((k_block + 1) * blocking_.steps, num_steps_)},
        .is_first = k_block == 0,
        .is_last = k_block + 1 == num_k_blocks()};
  }

  const char* weights(const PanelBlock& b) const {
    return args_.w.as<const char>() + b.panels.begin * panel_bytes_ + b.steps.begin * kStepBytes;
  }

  void run_rows(Range rows) {
    const int64_t num_blocks = num_groups() * num_k_blocks();
    for (int64_t i = 0; i < num_blocks; ++i) {
      const PanelBlock current = block(i);
      run_block(rows, current, block(std::min(i + 1, num_blocks - 1)));
    }
  }

  /// Passes the rows over one block, a tile at a time, while the next block comes from memory.
  void run_block(Range rows, const PanelBlock& b, const PanelBlock& next) {
    const int64_t num_tiles = ceil_div(rows.size(), micro_.max_rows);
    for (int64_t i = 0; i < num_tiles; ++i) {
      const Range part = part_of(rows.size(), i, num_tiles);
      const Range tile{rows.begin + part.begin, rows.begin + part.end};
      float* const sums = sums_ + part.begin * kSumsStride;
      run_tile(tile, b, sums,
               num_tiles == 1 ? prefetch_this(b) : prefetch_next(next, i, num_tiles));
      if (b.is_last) store(tile, b.panels, sums);
    }
  }

  struct Prefetch {
    const char* from;
    int64_t panels;
  };
  /// A single tile uses its panels once: it runs ahead of itself.
  Prefetch prefetch_this(const PanelBlock& b) const {
    return {weights(b) + kPrefetchDistance, b.panels.size()};
  }
  /// The first tiles of a pass bring the next block, a share of its panels each.
  Prefetch prefetch_next(const PanelBlock& next, int64_t tile_idx, int64_t num_tiles) const {
    const int64_t share = ceil_div(next.panels.size(), num_tiles);
    const int64_t first = tile_idx * share;
    if (first >= next.panels.size()) return {nullptr, 0};
    return {weights(next) + first * panel_bytes_, std::min(share, next.panels.size() - first)};
  }

  void run_tile(Range rows, const PanelBlock& b, float* sums, Prefetch prefetch) const {
    const int64_t element_bytes = kStepBytesX / group_;
    const GemmTile tile{.x = args_.x.as<const char>() +
                             rows.begin * args_.x.row_stride * element_bytes +
                             b.steps.begin * kStepBytesX,
                        .x_stride = args_.x.row_stride * element_bytes,
                        .w = weights(b),
                        .w_stride = panel_bytes_,
                        .w_step = kStepBytes,
                        .num_steps = b.steps.size(),
                        .has_half_step = b.is_last && has_half_step_,
                        .continues = !b.is_first,
                        .sums = sums,
                        .sums_stride = kSumsStride,
                        .prefetch = prefetch.from,
                        .prefetch_panels = prefetch.panels};
    micro_.tiles[rows.size() - 1][b.panels.size() - 1](tile);
  }

  void store(Range rows, Range panels, const float* sums) const {
    const TensorView& y = args_.y;
    const int64_t column = panels.begin * kPanelWidth;
    const auto element_bytes = static_cast<int64_t>(dtype_bytes(y.dtype));
    micro_.store(
        {.sums = sums,
         .sums_stride = kSumsStride,
         .num_rows = rows.size(),
         .num_columns = std::min(panels.size() * kPanelWidth, y.shape[1] - column),
         .bias = args_.bias.data == nullptr ? nullptr : args_.bias.as<const float>() + column,
         .y = y.as<char>() + (rows.begin * y.row_stride + column) * element_bytes,
         .y_stride = y.row_stride * element_bytes,
         .is_bf16 = y.dtype == DType::bf16});
  }

  const ops::LinearArgs& args_;
  const GemmMicro& micro_;
  const Range panels_;
  float* const sums_;  // [rows per block][kSumsStride]
  const int64_t group_;
  const int64_t num_steps_;
  const bool has_half_step_;
  const int64_t panel_bytes_;
  const LinearBlocking blocking_;
};

int64_t sums_per_thread(int64_t num_rows) {
  return std::min(num_rows, kRowsPerBlock) * kSumsStride;
}

}  // namespace

LinearBlocking choose_linear_blocking(int64_t num_rows, int64_t num_steps) {
  // Equal blocks: a short last one would pay a pass over the sums for little work.
  const int64_t row_blocks = std::max<int64_t>(1, ceil_div(num_rows, kRowsPerBlock));
  const int64_t step_blocks = std::max<int64_t>(1, ceil_div(num_steps, kStepsPerBlock));
  return {.rows = ceil_div(std::max<int64_t>(num_rows, 1), row_blocks),
          .steps = ceil_div(std::max<int64_t>(num_steps, 1), step_blocks)};
}

size_t linear_workspace_bytes(const ops::OpCall& call, int num_threads) {
  return static_cast<size_t>(num_threads * sums_per_thread(call.inputs[0].shape[0])) *
         sizeof(float);
}

void linear(ops::OpContext& context, const ops::LinearArgs& args, const GemmMicro& micro) noexcept {
  const int64_t num_rows = args.x.shape[0];
  if (num_rows == 0) return;
  const int64_t num_panels = ceil_div(args.y.shape[1], kPanelWidth);
  const int num_threads = context.pool->num_threads();
  VELOZ_DCHECK(context.workspace.size() >=
                   static_cast<size_t>(num_threads * sums_per_thread(num_rows)) * sizeof(float),
               "workspace of {} bytes", context.workspace.size());
  auto* const sums = reinterpret_cast<float*>(context.workspace.data());
  context.pool->run([&](int thread_idx) {
    const Range panels = part_of(num_panels, thread_idx, num_threads);
    if (panels.size() == 0) return;
    PanelWorker(args, micro, panels, sums + thread_idx * sums_per_thread(num_rows)).run();
  });
}

}  // namespace veloz::cpu
