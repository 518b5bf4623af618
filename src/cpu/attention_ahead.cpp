// SPDX-License-Identifier: Apache-2.0
// What a worker asks memory for while it computes.
#include "cpu/attention_worker.h"

namespace veloz::cpu {

using ops::kAttentionLeaf;

namespace {

/// Lets each step of a tile ask for some lines, `step` bytes further each time.
void ask_for(GemmTile& tile, const char* begin, int64_t lines, ptrdiff_t step) {
  tile.prefetch = begin;
  tile.prefetch_panels = lines;
  tile.prefetch_stride = kLine;
  tile.prefetch_step = step;
}

}  // namespace

/// The block that is read a leaf after position `at` of the open one: blocks lie apart, and the
/// processor's own prefetch begins anew in each.
std::optional<AttentionWorker::Ahead> AttentionWorker::ahead_of(int64_t at) const {
  const int64_t block_size = g_.kv.block_size;
  const int64_t end = round_up(reading_.end, block_size);
  int64_t position = leaf_begin_ + at + std::min(kAttentionLeaf, end - reading_.begin);
  const Reading* reading = &reading_;
  if (position >= reading_.end) {
    position = next_.begin + std::max(position, end) - end;
    reading = &next_;
  }
  if (position >= reading->end) return std::nullopt;
  return Ahead{.reading = reading,
               .slot = reading->table[position / block_size] * block_size,
               .count = std::min(block_size, reading->end - position)};
}

/// Asks for all codes of the block that is read next, where they are widened.
void AttentionWorker::ask_for_codes(int64_t at) const {
  const std::optional<Ahead> ahead = ahead_of(at);
  if (!ahead) return;
  const auto code_bytes = static_cast<int64_t>(dtype_bytes(a_.cache.dtype));
  const int64_t bytes = g_.kv.block_size * g_.kv.head_dim * code_bytes;
  const int64_t kv_head = ahead->reading->kv_head;
  for (const int64_t index :
       {g_.kv.k_index(ahead->slot, kv_head, 0), g_.kv.v_index(ahead->slot, kv_head, 0)}) {
    const char* const codes = a_.cache.as<const char>() + index * code_bytes;
    for (int64_t i = 0; i < bytes; i += kLine) __builtin_prefetch(codes + i, 0, 2);
  }
}

/// Lets the steps of a tile ask for lines that lie one after another, an equal share each.
void AttentionWorker::ask_for_lines(GemmTile& tile, const Lines& all) const {
  const Lines lines = share_of(all, part_.idx, part_.count);
  const int64_t lines_of_step = ceil_div(lines.count, tile.num_steps);
  ask_for(tile, lines.begin, lines_of_step, lines_of_step * kLine);
}

AttentionWorker::Lines AttentionWorker::k_lines(const Ahead& ahead) const {
  const int64_t index = g_.kv.k_index(ahead.slot, ahead.reading->kv_head, 0);
  return {a_.cache.as<const char>() + index * g_.kv_bytes,
          ceil_div(g_.kv.block_size * g_.kv.head_dim * g_.kv_bytes, kLine)};
}

/// Whether rows of softmax ask for half of K: few rows take less time for their scores than K takes
/// to come. Codes come in half the time.
bool AttentionWorker::softmax_asks(int64_t num_positions, int64_t num_rows) const {
  return !g_.is_widened && !g_.is_integer && part_.count == 1 &&
         num_rows >= ceil_div(num_positions, g_.kv.block_size);
}

/// What each row of softmax asks for: a share of the second half of K of one block.
void AttentionWorker::spread_lines(int64_t num_positions, std::span<Lines> lines_of_rows) const {
  const int64_t num_rows = std::ssize(lines_of_rows);
  if (!softmax_asks(num_positions, num_rows)) return;
  const int64_t num_blocks = ceil_div(num_positions, g_.kv.block_size);
  for (int64_t block = 0; block < num_blocks; ++block) {
    const std::optional<Ahead> ahead = ahead_of(block * g_.kv.block_size);
    if (!ahead || ahead->count < g_.kv.block_size) continue;
    const Range askers = part_of(num_rows, block, num_blocks);
    const Lines lines = share_of(k_lines(*ahead), 1, 2);
    for (int64_t i = askers.begin; i < askers.end; ++i)
      lines_of_rows[static_cast<size_t>(i)] = share_of(lines, i - askers.begin, askers.size());
  }
}

/// Lets a tile of scores ask for K of what is read next, all of it or the first half.
void AttentionWorker::ask_for_k(GemmTile& scores, int64_t at, bool is_half) const {
  if (g_.is_widened) return;  // tiles read a copy
  const std::optional<Ahead> ahead = ahead_of(at);
  if (!ahead) return;
  const Lines lines = k_lines(*ahead);
  if (ahead->count == g_.kv.block_size)
    return ask_for_lines(scores, is_half ? share_of(lines, 0, 2) : lines);
  const int64_t lines_of_step = ceil_div(ahead->count * g_.k_step_bytes(), kLine);
  const Lines part = share_of({lines.begin, lines_of_step}, part_.idx, part_.count);
  ask_for(scores, part.begin, part.count, g_.kv.block_size * g_.k_step_bytes());
}

/// The same for V.
void AttentionWorker::ask_for_v(GemmTile& values, int64_t at) const {
  if (g_.is_widened) return;
  const std::optional<Ahead> ahead = ahead_of(at);
  if (!ahead) return;
  const int64_t index = g_.kv.v_index(ahead->slot, ahead->reading->kv_head, 0);
  ask_for_lines(values, {a_.cache.as<const char>() + index * g_.kv_bytes,
                         ceil_div(ahead->count * g_.kv.head_dim * g_.kv_bytes, kLine)});
}

}  // namespace veloz::cpu
