// SPDX-License-Identifier: Apache-2.0
#include "cpu/panel_product.h"

#include <algorithm>

#include "base/error.h"
#include "base/numeric.h"
#include "cpu/panel_pass.h"
#include "cpu/parallel.h"

namespace veloz::cpu {
namespace {

// Of panels that are read once: 16 KiB, which stay in a first-level cache until then.
constexpr int64_t kStepsPerSmallBlock = 64;
constexpr int64_t kRowsPerBlock = 86 * kMaxTileRows;  // 516: prompts are often cut at 512
// Of more tiles, what comes next is not needed for long: the first-level cache is for their rows.
constexpr int64_t kMaxTilesNear = 8;
constexpr int64_t kSumsStride = kMaxTilePanels * kPanelWidth;
constexpr int64_t kMaxExpandedSteps = 8;  // of one step
constexpr size_t kExpandedBytes =
    kMaxTilePanels * (kStepsPerBlock + kMaxExpandedSteps) * kStepBytes;

/// A few panels and a range of K: what one pass over the rows of a block works on.
struct PanelBlock {
  Range panels;
  Range steps;  // the tail after the last one excluded
  bool is_first;
  bool is_last;
};

/// Scratch of one thread.
struct Scratch {
  float* sums;     // [rows per block][kSumsStride]
  char* expanded;  // [kMaxTilePanels][steps per block][kStepBytes]; absent where nothing is
};

/// Null where the packed weight is multiplied as it is, whatever the rows, or was dequantized.
const GemmExpansion* expansion_of(const PanelProduct& product) {
  return product.dequantization == nullptr ? product.micro->expansion : nullptr;
}

bool expands(const PanelProduct& product, const PanelBlocking& blocking) {
  const GemmExpansion* const expansion = expansion_of(product);
  return expansion != nullptr &&
         blocking.rows > (expansion->min_tiles - 1) * expansion->micro->max_rows;
}

/// Steps that one step of the packed weight becomes where it is expanded.
int64_t expanded_steps(const PanelProduct& product) {
  if (product.dequantization != nullptr) return product.dequantization->expanded_steps;
  const GemmExpansion* const expansion = expansion_of(product);
  return expansion == nullptr ? 1 : product.micro->step_bytes_x / expansion->micro->step_bytes_x;
}

PanelBlocking blocking_of(const PanelProduct& product) {
  const bool is_read_once =
      product.dequantization != nullptr && product.num_rows <= product.micro->max_rows;
  return choose_panel_blocking(product.num_rows, product.num_steps,
                               std::max<int64_t>(1, product.groups.steps), expanded_steps(product),
                               is_read_once ? kStepsPerSmallBlock : kStepsPerBlock);
}

/// One thread's share of a product.
class PanelWorker {
 public:
  PanelWorker(const PanelProduct& product, Range panels, const Scratch& scratch)
      : product_(product),
        panels_(panels),
        scratch_(scratch),
        blocking_(blocking_of(product)),
        expansion_(expands(product, blocking_) ? expansion_of(product) : nullptr),
        is_expanded_(expansion_ != nullptr || product.dequantization != nullptr),
        micro_(expansion_ != nullptr ? *expansion_->micro : *product.micro),
        expanded_steps_(is_expanded_ ? expanded_steps(product) : 1),
        panel_bytes_((product.num_steps + (product.tail_bytes > 0 ? 1 : 0)) * kStepBytes) {}

  void run() {
    if (runs_ahead()) return run_ahead();
    for (int64_t begin = 0; begin < product_.num_rows; begin += blocking_.rows)
      run_rows({begin, std::min(begin + blocking_.rows, product_.num_rows)});
  }

 private:
  /// A single tile whose operations fill the processor's window, so that its own prefetch falls
  /// behind.
  bool runs_ahead() const {
    return micro_.runs_ahead && !is_expanded_ && product_.num_rows <= micro_.max_rows;
  }

  /// Asks for the lines of its panels kReadAheadBytes, of all together, before it comes to them, in
  /// the end for those of the next panels.
  void run_ahead() {
    const Range rows{0, product_.num_rows};
    const int64_t ahead = round_up(kReadAheadBytes / kStepBytes / micro_.max_panels,
                                   std::max<int64_t>(1, product_.groups.steps));
    const int64_t last = std::max<int64_t>(0, product_.num_steps - ahead);
    const int64_t num_groups = num_panel_groups();
    for (int64_t i = 0; i < num_groups; ++i) {
      const Range panels = panel_group(i);
      const Range next = panel_group(std::min(i + 1, num_groups - 1));
      const PanelBlock first_block{panels, {0, last}, /*is_first=*/true, /*is_last=*/false};
      const PanelBlock last_block{
          panels, {last, product_.num_steps}, /*is_first=*/last == 0, /*is_last=*/true};
      if (last > 0)
        run_tile(rows, first_block, scratch_.sums, {weights(panels, ahead), panels.size()});
      ask_for_scales(product_, next);
      run_tile(rows, last_block, scratch_.sums, {weights(next, 0), next.size()});
      store_panels(product_, micro_, rows, panels, scratch_.sums, kSumsStride);
    }
  }

  int64_t num_panel_groups() const { return ceil_div(panels_.size(), micro_.max_panels); }
  Range panel_group(int64_t idx) const {
    const Range group = part_of(panels_.size(), idx, num_panel_groups());
    return {panels_.begin + group.begin, panels_.begin + group.end};
  }
  int64_t num_k_blocks() const {
    return std::max<int64_t>(1, ceil_div(product_.num_steps, blocking_.steps));
  }

  /// Blocks in the order of work: all of K for some panels, then the next panels.
  PanelBlock block(int64_t idx) const {
    const int64_t k_block = idx % num_k_blocks();
    return {.panels = panel_group(idx / num_k_blocks()),
            .steps = {k_block * blocking_.steps,
                      std::min((k_block + 1) * blocking_.steps, product_.num_steps)},
            .is_first = k_block == 0,
            .is_last = k_block + 1 == num_k_blocks()};
  }

  const char* weights(Range panels, int64_t first_step) const {
    return reinterpret_cast<const char*>(product_.w) + panels.begin * panel_bytes_ +
           first_step * kStepBytes;
  }
  const char* weights(const PanelBlock& b) const { return weights(b.panels, b.steps.begin); }

  void run_rows(Range rows) {
    const int64_t num_blocks = num_panel_groups() * num_k_blocks();
    for (int64_t i = 0; i < num_blocks; ++i) {
      const PanelBlock current = block(i);
      if (is_expanded_) expand(current);
      run_block(rows, current, block(std::min(i + 1, num_blocks - 1)));
    }
  }

  void expand(const PanelBlock& b) {
    VELOZ_DCHECK(b.panels.size() * expanded_panel_bytes(b) <= static_cast<int64_t>(kExpandedBytes),
                 "{} steps in a block", b.steps.size());
    for (int64_t p = 0; p < b.panels.size(); ++p) {
      const char* const w = weights(b) + p * panel_bytes_;
      char* const to = scratch_.expanded + p * expanded_panel_bytes(b);
      if (expansion_ != nullptr)
        expansion_->expand({.w = w, .num_steps = b.steps.size(), .to = to});
      else
        dequantize(*product_.dequantization, b, b.panels.begin + p, w, to);
    }
  }
  void dequantize(const Dequantization& d, const PanelBlock& b, int64_t panel, const char* w,
                  char* to) const {
    d.run({.w = w,
           .scales = d.scales + panel * d.scales_stride,
           .zeros = d.zeros == nullptr ? nullptr : d.zeros + panel * d.zeros_stride,
           .scale_type = d.scale_type,
           .group = d.group,
           .begin = b.steps.begin * d.step_columns,
           .end = b.is_last ? d.num_columns : b.steps.end * d.step_columns,
           .to = to});
  }
  int64_t expanded_panel_bytes(const PanelBlock& b) const {
    const int64_t tail = b.is_last && product_.tail_bytes > 0 ? 1 : 0;
    return (b.steps.size() + tail) * expanded_steps_ * kStepBytes;
  }

  /// Passes the rows over one block, a tile at a time, while the next block comes from memory.
  void run_block(Range rows, const PanelBlock& b, const PanelBlock& next) {
    const int64_t num_tiles = ceil_div(rows.size(), micro_.max_rows);
    for (int64_t i = 0; i < num_tiles; ++i) {
      const Range part = part_of(rows.size(), i, num_tiles);
      const Range tile{rows.begin + part.begin, rows.begin + part.end};
      float* const sums = scratch_.sums + part.begin * kSumsStride;
      run_tile(tile, b, sums, prefetch_next(next, i, num_tiles));
      if (b.is_last) store_panels(product_, micro_, tile, b.panels, sums, kSumsStride);
    }
  }

  struct Prefetch {
    const char* from;
    int64_t panels;
    int64_t parts = 1;  // of each panel, of which one is asked for
    bool is_far = false;
  };
  /// The tiles of a pass bring the next block, an equal share of it each: memory would rest while
  /// one asks for nothing. Of many tiles, which compute for long, the first bring a panel each.
  /// A single tile reads its panels once, in order: where it converts nothing, the processor's own
  /// prefetch does better.
  Prefetch prefetch_next(const PanelBlock& next, int64_t tile_idx, int64_t num_tiles) const {
    if (num_tiles == 1) return {nullptr, 0};
    const int64_t share = ceil_div(next.panels.size(), num_tiles);
    if (share > 1 && next.panels.size() % num_tiles != 0)
      return {weights(next) + next.steps.size() * tile_idx / num_tiles * kStepBytes,
              next.panels.size(), num_tiles};
    const int64_t first = tile_idx * share;
    if (first >= next.panels.size()) return {nullptr, 0};
    return {.from = weights(next) + first * panel_bytes_,
            .panels = std::min(share, next.panels.size() - first),
            .is_far = num_tiles > kMaxTilesNear};
  }

  void run_tile(Range rows, const PanelBlock& b, float* sums, Prefetch prefetch) const {
    const int64_t first_step = b.steps.begin * expanded_steps_;
    const int64_t tail_bytes = b.is_last ? product_.tail_bytes : 0;
    const GemmTile tile{
        .x = product_.x + rows.begin * product_.x_stride + first_step * micro_.step_bytes_x,
        .x_stride = product_.x_stride,
        .w = is_expanded_ ? scratch_.expanded : weights(b),
        .w_stride = is_expanded_ ? expanded_panel_bytes(b) : panel_bytes_,
        .w_step = kStepBytes,
        .num_steps = b.steps.size() * expanded_steps_ + tail_bytes / micro_.step_bytes_x,
        .tail_bytes = tail_bytes % micro_.step_bytes_x,
        .continues = !b.is_first,
        .sums = sums,
        .sums_stride = kSumsStride,
        .groups = groups(rows, b),
        .prefetch = prefetch.from,
        .prefetch_panels = prefetch.panels,
        .prefetch_stride = panel_bytes_,
        .prefetch_step = ceil_div(kStepBytes / expanded_steps_, prefetch.parts),
        .prefetch_is_far = prefetch.is_far};
    micro_.tiles[rows.size() - 1][b.panels.size() - 1](tile);
  }

  GemmGroups groups(Range rows, const PanelBlock& b) const {
    GemmGroups groups = product_.groups;
    if (groups.steps == 0) return groups;
    const int64_t first_group = b.steps.begin / groups.steps;
    groups.w_scales += b.panels.begin * groups.w_scales_stride + first_group * kPanelWidth;
    groups.x_scales += rows.begin * groups.x_scales_stride + first_group;
    groups.steps *= expanded_steps_;
    return groups;
  }

  const PanelProduct& product_;
  const Range panels_;
  const Scratch scratch_;
  const PanelBlocking blocking_;
  const GemmExpansion* const expansion_;  // null where there is none, or rows are too few
  const bool is_expanded_;
  const GemmMicro& micro_;
  const int64_t expanded_steps_;
  const int64_t panel_bytes_;
};

size_t sums_bytes(int64_t num_rows) {
  return static_cast<size_t>(std::min(num_rows, kRowsPerBlock) * kSumsStride) * sizeof(float);
}

size_t scratch_bytes(int64_t num_rows, bool has_expansion) {
  return sums_bytes(num_rows) + (has_expansion ? kExpandedBytes : 0);
}

}  // namespace

void ask_for_scales(const PanelProduct& product, Range panels) {
  if (product.store.w_scales == nullptr) return;
  for (int64_t panel = panels.begin; panel < panels.end; ++panel)
    __builtin_prefetch(product.store.w_scales + panel * kPanelWidth);
}

void store_panels(const PanelProduct& product, const GemmMicro& micro, Range rows, Range panels,
                  const float* sums, int64_t sums_stride) {
  const int64_t column = panels.begin * kPanelWidth;
  GemmStore store = product.store;
  store.sums = sums;
  store.sums_stride = sums_stride;
  store.num_rows = rows.size();
  store.num_columns = std::min(panels.size() * kPanelWidth, store.num_columns - column);
  if (store.row_offsets != nullptr) store.row_offsets += rows.begin;
  if (store.w_scales != nullptr) store.w_scales += column;
  if (store.x_scales != nullptr) store.x_scales += rows.begin * store.x_scales_stride;
  if (store.bias != nullptr) store.bias += column;
  const int64_t element_bytes = store.is_bf16 ? 2 : 4;
  store.y = static_cast<char*>(store.y) + rows.begin * store.y_stride + column * element_bytes;
  micro.store(store);
}

GemmStore store_to(const TensorView& y, const TensorView& bias) {
  return {.num_columns = y.shape[1],
          .bias = bias.as<const float>(),
          .y = y.data,
          .y_stride = y.row_stride * static_cast<int64_t>(dtype_bytes(y.dtype)),
          .is_bf16 = y.dtype == DType::bf16};
}

PanelBlocking choose_panel_blocking(int64_t num_rows, int64_t num_steps, int64_t steps_per_group,
                                    int64_t expanded_steps, int64_t max_steps) {
  // Equal blocks: a short last one would pay a pass over the sums for little work.
  const int64_t row_blocks = std::max<int64_t>(1, ceil_div(num_rows, kRowsPerBlock));
  const int64_t max_groups = std::max<int64_t>(1, max_steps / expanded_steps / steps_per_group);
  const int64_t num_groups = std::max<int64_t>(1, num_steps / steps_per_group);
  const int64_t step_blocks = ceil_div(num_groups, max_groups);
  return {.rows = ceil_div(std::max<int64_t>(num_rows, 1), row_blocks),
          .steps = ceil_div(num_groups, step_blocks) * steps_per_group};
}

size_t panel_product_workspace_bytes(const GemmMicro& micro, int64_t num_rows, int64_t row_bytes,
                                     int num_threads) {
  const size_t bytes = scratch_bytes(num_rows, micro.expansion != nullptr);
  return static_cast<size_t>(num_threads) *
         (micro.pack_rows == nullptr ? bytes
                                     : std::max(bytes, pass_scratch_bytes(num_rows, row_bytes)));
}

size_t dequantized_product_workspace_bytes(int64_t num_rows, int num_threads) {
  return static_cast<size_t>(num_threads) * scratch_bytes(num_rows, /*has_expansion=*/true);
}

void run_panel_product(ThreadPool& pool, std::span<std::byte> workspace,
                       const PanelProduct& product) noexcept {
  if (product.num_rows == 0) return;
  if (is_pass(product)) return run_panel_pass(pool, workspace, product);
  const int64_t num_panels = ceil_div(product.store.num_columns, kPanelWidth);
  const int num_threads = pool.num_threads();
  const bool has_expansion =
      product.micro->expansion != nullptr || product.dequantization != nullptr;
  const size_t bytes = scratch_bytes(product.num_rows, has_expansion);
  VELOZ_DCHECK(workspace.size() >= static_cast<size_t>(num_threads) * bytes,
               "workspace of {} bytes", workspace.size());
  VELOZ_DCHECK(
      product.tail_bytes == 0 || (expansion_of(product) == nullptr && product.groups.steps == 0),
      "a tail of {} bytes", product.tail_bytes);
  for_shared_ranges(pool, num_panels, product.micro->max_panels, [&](int thread_idx) {
    auto* const memory =
        reinterpret_cast<char*>(workspace.data()) + static_cast<size_t>(thread_idx) * bytes;
    const Scratch scratch{.sums = reinterpret_cast<float*>(memory),
                          .expanded = memory + sums_bytes(product.num_rows)};
    return [&product, scratch](Range panels) { PanelWorker(product, panels, scratch).run(); };
  });
}

}  // namespace veloz::cpu
