// SPDX-License-Identifier: Apache-2.0
#include "cpu/attention_worker.h"

#include <cstring>
#include <numbers>
#include <utility>

#include "base/error.h"

namespace veloz::cpu {

using ops::kAttentionFanIn;
using ops::kAttentionLeaf;

bool share_leaf(const ops::PagedAttentionArgs& a, int64_t sequence, int64_t other,
                int64_t leaf_idx) {
  const int64_t begin = leaf_idx * kAttentionLeaf;
  const int64_t end = begin + kAttentionLeaf;
  const auto sees_it = [&](int64_t s) {
    return a.kv_lens.as<const int32_t>()[s] - a.q_lens.as<const int32_t>()[s] + 1 >= end;
  };
  if (!sees_it(sequence) || !sees_it(other)) return false;
  const int64_t block_size = a.cache.shape[3];
  const int64_t first = begin / block_size;
  const auto blocks_of = [&](int64_t s) {
    return a.block_tables.as<const int32_t>() + s * a.block_tables.row_stride + first;
  };
  return std::equal(blocks_of(sequence), blocks_of(sequence) + ceil_div(end, block_size) - first,
                    blocks_of(other));
}

void AttentionWorker::run(const AttentionItem& item) {
  open(item);
  load_queries(item);
  const int64_t num_rows = item.num_tokens() * g_.group;
  int64_t end = 0;
  for (int64_t r = 0; r < num_rows; ++r) end = std::max(end, scratch_.rows[r].visible);
  open_reading(reading_of(item, 0, end));
  for (int64_t begin = 0; begin < end; begin += kAttentionLeaf) {
    const int64_t leaf_idx = begin / kAttentionLeaf;
    for_each_reading(item, leaf_idx, [&](Range rows) {
      sum_leaf(rows);
      for (int64_t r = rows.begin; r < rows.end; ++r)
        fold(r, leaf_idx, scratch_.rows[r].visible <= begin + kAttentionLeaf,
             SumsArray(scratch_.leaf, g_).load(r - rows.begin));
    });
  }
  for (int64_t r = 0; r < num_rows; ++r) finish(r);
}

void AttentionWorker::run_fold(const AttentionItem& item, float* partials) {
  open(item);
  const int64_t num_leaves = ceil_div(scratch_.rows[0].visible, kAttentionLeaf);
  for (int64_t r = 0; r < g_.group; ++r) {
    for (int64_t leaf = 0; leaf < num_leaves; ++leaf)
      fold(r, leaf, leaf + 1 == num_leaves, SumsArray(partials, g_).load(leaf * g_.group + r));
    finish(r);
  }
}

/// Looks up once what all that follows asks of the rows.
void AttentionWorker::open(const AttentionItem& item) {
  AttentionRow* row = scratch_.rows;
  for (int64_t s = item.sequences.begin; s < item.sequences.end; ++s)
    for (int64_t token = item.tokens.begin; token < item.tokens.end; ++token)
      for (int64_t head = item.kv_head * g_.group; head < (item.kv_head + 1) * g_.group; ++head)
        *row++ = {.sequence = s,
                  .visible = visible(s, token),
                  .q_row = a_.q_starts.as<const int32_t>()[s] + token,
                  .q_column = head * a_.head_dim};
}

/// Side by side, so that tiles may reach from one token to the next.
void AttentionWorker::load_queries(const AttentionItem& item) {
  const int64_t row_bytes = query_row_bytes();
  for (int64_t r = 0; r < item.num_tokens() * g_.group; ++r) {
    const AttentionRow& row = scratch_.rows[r];
    const std::byte* const from =
        a_.q.as<const std::byte>() + (row.q_row * a_.q.row_stride + row.q_column) * g_.q_bytes;
    std::byte* const to = scratch_.queries + r * row_bytes;
    if (g_.is_integer) {
      IntegerQuery query{.query = from, .head_dim = a_.head_dim, .codes = to, .step = 0};
      micro_.round_query(query);
      scratch_.steps[r] = query.step;
    } else if (micro_.scores->widen != nullptr) {
      micro_.scores->widen(from, a_.head_dim, to);
    } else {
      std::memcpy(to, from, static_cast<size_t>(a_.head_dim * g_.q_bytes));
    }
  }
}

void AttentionWorker::open_leaf(int64_t kv_head, int64_t leaf_idx, Range rows) {
  table_ = table_of(scratch_.rows[rows.begin].sequence);
  kv_head_ = kv_head;
  leaf_begin_ = leaf_idx * kAttentionLeaf;
  const int64_t num_positions = seen(rows.end - 1);
  if (g_.has_scales()) load_scales(num_positions);
  if (g_.is_widened) widen_leaf(num_positions);
}

void AttentionWorker::load_scales(int64_t num_positions) const {
  const auto* const cache = a_.cache.as<const std::byte>();
  for_each_block({0, num_positions}, [&](int64_t slot, int64_t at, int64_t count) {
    const auto bytes = static_cast<size_t>(count * ops::kKvScaleBytes);
    std::memcpy(scratch_.k_scales + at, cache + g_.kv.k_scale_index(slot, kv_head_), bytes);
    std::memcpy(scratch_.v_scales + at, cache + g_.kv.v_scale_index(slot, kv_head_), bytes);
  });
}

void AttentionWorker::widen(const CodeRows& rows) const {
  if (a_.cache.dtype == DType::fp8_e4m3) return micro_.widen_fp8(rows);
  if (a_.cache.dtype == DType::int8) return micro_.widen_int8(rows);
  for (int64_t r = 0; r < rows.num_rows; ++r)  // bf16 as it is
    std::memcpy(rows.values + r * rows.values_stride, rows.codes + r * rows.stride,
                static_cast<size_t>(rows.count) * sizeof(uint16_t));
}

/// `count` pairs of codes to a row of their first and a row of their second elements.
void AttentionWorker::widen_pairs(const std::byte* pairs, int64_t count, std::byte* first,
                                  std::byte* second) const {
  constexpr int64_t kPairs = 256;
  const auto code_bytes = static_cast<int64_t>(dtype_bytes(a_.cache.dtype));
  for (int64_t begin = 0; begin < count; begin += kPairs) {
    const int64_t n = std::min(kPairs, count - begin);
    uint16_t widened[2 * kPairs];
    widen({.codes = pairs + begin * 2 * code_bytes,
           .stride = 0,
           .values = reinterpret_cast<std::byte*>(widened),
           .values_stride = 0,
           .num_rows = 1,
           .count = 2 * n});
    auto* const firsts = reinterpret_cast<uint16_t*>(first) + begin;
    auto* const seconds = reinterpret_cast<uint16_t*>(second) + begin;
    for (int64_t i = 0; i < n; ++i) {
      firsts[i] = widened[2 * i];
      seconds[i] = widened[2 * i + 1];
    }
  }
}

/// Turns what the cache holds of the open leaf into bf16 in scratch: K in whole panels of 16
/// positions, as queries take it: in pairs of channels, or in fp32 channel by channel.
void AttentionWorker::widen_leaf(int64_t num_positions) const {
  const ops::KvLayout& kv = g_.kv;
  const auto* const cache = a_.cache.as<const std::byte>();
  const auto code_bytes = static_cast<int64_t>(dtype_bytes(a_.cache.dtype));
  const auto codes = [&](int64_t index) { return cache + index * code_bytes; };
  const auto key = [&](int64_t step, int64_t at) {
    return scratch_.keys + (step * kAttentionLeaf + at) * g_.k_step_bytes();
  };
  const auto value = [&](int64_t at) { return scratch_.values + at * kv.head_dim * g_.kv_bytes; };
  for_each_block({0, num_positions}, [&](int64_t slot, int64_t at, int64_t count) {
    ask_for_codes(at);
    const int64_t in_panels = round_up(count, kPanelWidth);
    if (g_.k_group == kv.group)
      widen({.codes = codes(kv.k_index(slot, kv_head_, 0)),
             .stride = kv.block_size * kv.group * code_bytes,
             .values = key(0, at),
             .values_stride = kAttentionLeaf * g_.k_step_bytes(),
             .num_rows = g_.num_k_steps(),
             .count = in_panels * kv.group});
    else
      for (int64_t d = 0; d < kv.head_dim; d += 2)
        widen_pairs(codes(kv.k_index(slot, kv_head_, d)), in_panels, key(d, at), key(d + 1, at));
    if (kv.v_group == 1)
      widen({.codes = codes(kv.v_index(slot, kv_head_, 0)),
             .stride = 0,
             .values = value(at),
             .values_stride = 0,
             .num_rows = 1,
             .count = count * kv.head_dim});
    else
      for (int64_t p = 0; p < count; p += 2)
        widen_pairs(codes(kv.v_index(slot + p, kv_head_, 0)), kv.head_dim, value(at + p),
                    value(at + p + 1));
  });
}

/// Puts the leaf's sums in its place in the tree: into its group, and the group, once it is
/// complete, into the total.
void AttentionWorker::fold(int64_t row, int64_t leaf_idx, bool is_last, const AttentionSums& leaf) {
  const SumsArray groups(scratch_.group, g_);
  const SumsArray totals(scratch_.total, g_);
  add(groups, row, leaf, leaf_idx % kAttentionFanIn == 0);
  if (is_last || (leaf_idx + 1) % kAttentionFanIn == 0)
    add(totals, row, groups.load(row), leaf_idx < kAttentionFanIn);
}

void AttentionWorker::add(const SumsArray& into, int64_t row, const AttentionSums& from,
                          bool is_first) const {
  if (is_first) return copy(into, row, from);
  AttentionSums sums = into.load(row);
  micro_.merge(sums, from, a_.head_dim);
  into.store(row, sums);
}

void AttentionWorker::copy(const SumsArray& into, int64_t row, const AttentionSums& from) const {
  into.store(row, from);
  std::memcpy(into.load(row).values, from.values, static_cast<size_t>(a_.head_dim) * sizeof(float));
}

void AttentionWorker::finish(int64_t row) const {
  const int64_t at = scratch_.rows[row].q_row * a_.y.row_stride + scratch_.rows[row].q_column;
  AttentionSums sums = SumsArray(scratch_.total, g_).load(row);
  sums.weights /= a_.v_scale;
  micro_.finish(a_.y.as<std::byte>() + at * g_.q_bytes, sums, a_.head_dim,
                a_.y.dtype == DType::bf16);
}

SoftmaxRow AttentionWorker::softmax_row(Range rows, int64_t row, const Lines& asked) const {
  return {.scores = scratch_.scores + (row - rows.begin) * kAttentionLeaf,
          .num_positions = seen(row),
          .scale = a_.scale * a_.k_scale * std::numbers::log2e_v<float>,
          .k_scales = g_.has_scales() ? scratch_.k_scales : nullptr,
          .v_scales = g_.has_scales() ? scratch_.v_scales : nullptr,
          .prefetch = asked.begin,
          .prefetch_lines = asked.count,
          .max = 0,
          .weights = 0};
}

/// Sums of rows over the positions of the open leaf that each of them sees, at least one.
void AttentionWorker::sum_leaf(Range rows) const {
  if (g_.is_integer) return sum_leaf_integers(rows);
  const int64_t num_positions = seen(rows.end - 1);
  score(*micro_.scores, num_positions, rows);
  const SumsArray leaf(scratch_.leaf, g_);
  Lines asked[kMaxLeafRows];
  spread_lines(num_positions, std::span(asked).first(static_cast<size_t>(rows.size())));
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    SoftmaxRow softmax = softmax_row(rows, r, asked[r - rows.begin]);
    micro_.softmax(softmax);
    leaf.store(r - rows.begin, {.max = softmax.max, .weights = softmax.weights, .values = nullptr});
  }
  // Rows see more and more positions: those of all rows together, then what only the later see.
  int64_t from = 0;
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    if (seen(r) == from) continue;
    weigh(*micro_.values, {from, seen(r)}, {r, rows.end}, rows.begin);
    from = seen(r);
  }
}

/// As sum_leaf. What a row does not see has weight 0, and 0 times any code is 0.
void AttentionWorker::sum_leaf_integers(Range rows) const {
  const int64_t num_positions = seen(rows.end - 1);
  score(*micro_.integers, num_positions, rows);
  const SumsArray leaf(scratch_.leaf, g_);
  float steps[kMaxLeafRows];
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    const int64_t row = r - rows.begin;
    IntegerSoftmaxRow softmax{
        .row = softmax_row(rows, r, {}), .num_weights = num_positions, .step = 0};
    softmax.row.scale *= scratch_.steps[r];
    micro_.softmax_integers(softmax);
    leaf.store(row, {.max = softmax.row.max, .weights = softmax.row.weights, .values = nullptr});
    steps[row] = softmax.step;
  }
  weigh(*micro_.integers, {0, num_positions}, rows, rows.begin);
  for (int64_t row = 0; row < rows.size(); ++row)
    micro_.scale_sums(leaf.load(row).values, g_.padded_dim, steps[row]);
}

/// Calls f(slot, position in the leaf, count) for positions of the open leaf that lie in one block.
template <typename F>
void AttentionWorker::for_each_block(Range positions, const F& f) const {
  for (int64_t p = positions.begin; p < positions.end;) {
    const int64_t in_block = (leaf_begin_ + p) % g_.kv.block_size;
    const int64_t count = std::min(positions.end - p, g_.kv.block_size - in_block);
    const int64_t block = table_[(leaf_begin_ + p) / g_.kv.block_size];
    f(block * g_.kv.block_size + in_block, p, count);
    p += count;
  }
}

/// Calls f(Stretch) for positions of the open leaf.
template <typename F>
void AttentionWorker::for_each_stretch(Range positions, const F& f) const {
  if (g_.is_widened)
    return f(Stretch{.k = scratch_.keys + positions.begin * g_.k_step_bytes(),
                     .k_stride = kAttentionLeaf * g_.k_step_bytes(),
                     .v = scratch_.values + positions.begin * g_.kv.head_dim * g_.kv_bytes,
                     .at = positions.begin,
                     .count = positions.size()});
  const auto* const cache = a_.cache.as<const std::byte>();
  for_each_block(positions, [&](int64_t slot, int64_t at, int64_t count) {
    f(Stretch{.k = cache + g_.kv.k_index(slot, kv_head_, 0) * g_.kv_bytes,
              .k_stride = g_.kv.block_size * g_.k_step_bytes(),
              .v = cache + g_.kv.v_index(slot, kv_head_, 0) * g_.kv_bytes,
              .at = at,
              .count = count});
  });
}

/// scores[row][position] = q . k, whole panels of 16 positions: what lies beyond is garbage.
void AttentionWorker::score(const GemmMicro& gemm, int64_t num_positions, Range rows) const {
  const int64_t row_bytes = query_row_bytes();
  for_each_stretch({0, num_positions}, [&](const Stretch& s) {
    GemmTile tile{.x = scratch_.queries + rows.begin * row_bytes,
                  .x_stride = row_bytes,
                  .w = s.k,
                  .w_stride = kPanelWidth * g_.k_step_bytes(),
                  .w_step = s.k_stride,
                  .num_steps = g_.num_k_steps(),
                  .continues = false,
                  .sums = scratch_.scores + s.at,
                  .sums_stride = kAttentionLeaf,
                  .prefetch = nullptr,
                  .prefetch_panels = 0};
    ask_for_k(tile, s.at, softmax_asks(num_positions, rows.size()));
    run_gemm(gemm, rows.size(), ceil_div(s.count, kPanelWidth), tile);
  });
}

/// values[row] += weights[row][position] * v[position]; the chain starts at position 0.
void AttentionWorker::weigh(const GemmMicro& gemm, Range positions, Range rows,
                            int64_t first_row) const {
  const int64_t group = g_.v_group();
  for_each_stretch(positions, [&](const Stretch& s) {
    const int64_t row = rows.begin - first_row;
    const auto* const weights =
        reinterpret_cast<const std::byte*>(scratch_.scores + row * kAttentionLeaf);
    GemmTile tile{.x = weights + s.at / group * kStepBytesX,
                  .x_stride = kAttentionLeaf * static_cast<int64_t>(sizeof(float)),
                  .w = s.v,
                  .w_stride = kPanelWidth * group * g_.kv_bytes,
                  .w_step = a_.head_dim * group * g_.kv_bytes,
                  .num_steps = ceil_div(s.count, group),
                  .continues = s.at > 0,
                  .sums = SumsArray(scratch_.leaf, g_).load(row).values,
                  .sums_stride = SumsArray::floats_per_row(g_),
                  .prefetch = nullptr,
                  .prefetch_panels = 0};
    if (row == 0) ask_for_v(tile, s.at);
    run_gemm(gemm, rows.size(), a_.head_dim / kPanelWidth, tile);
    if (a_.head_dim % kPanelWidth != 0) weigh_last_channels(gemm, rows.size(), tile);
  });
}

/// The last 16 channels as one panel. It overlaps the one before, whose sums it would continue
/// twice, so it works on a copy and keeps only what is new.
void AttentionWorker::weigh_last_channels(const GemmMicro& gemm, int64_t num_rows,
                                          const GemmTile& tile) const {
  const int64_t first = a_.head_dim - kPanelWidth;
  const int64_t done = a_.head_dim / kPanelWidth * kPanelWidth;
  const auto kept = static_cast<size_t>(a_.head_dim - done);
  float sums[kMaxLeafRows * kPanelWidth] = {};
  for (int64_t r = 0; r < num_rows && tile.continues; ++r)
    std::memcpy(sums + r * kPanelWidth + (done - first), tile.sums + r * tile.sums_stride + done,
                kept * sizeof(float));
  GemmTile last = tile;
  last.w = static_cast<const std::byte*>(tile.w) + first * g_.v_group() * g_.kv_bytes;
  last.sums = sums;
  last.sums_stride = kPanelWidth;
  last.prefetch_panels = 0;
  run_gemm(gemm, num_rows, 1, last);
  for (int64_t r = 0; r < num_rows; ++r)
    std::memcpy(tile.sums + r * tile.sums_stride + done, sums + r * kPanelWidth + (done - first),
                kept * sizeof(float));
}

/// A product of any size, in tiles that the micro-kernels have. Those over the first panels ask for
/// memory, an equal share of the lines each.
void AttentionWorker::run_gemm(const GemmMicro& gemm, int64_t num_rows, int64_t num_panels,
                               const GemmTile& whole) const {
  GemmTile tile = whole;
  const int64_t num_row_tiles = ceil_div(num_rows, gemm.max_rows);
  for (int64_t i = 0; i < num_row_tiles; ++i) {
    const Range rows = part_of(num_rows, i, num_row_tiles);
    const Range lines = part_of(whole.prefetch_panels, i, num_row_tiles);
    tile.x = static_cast<const std::byte*>(whole.x) + rows.begin * whole.x_stride;
    tile.prefetch = whole.prefetch + lines.begin * whole.prefetch_stride;
    for (int64_t p = 0; p < num_panels; p += gemm.max_panels) {
      const int64_t panels = std::min(gemm.max_panels, num_panels - p);
      tile.w = static_cast<const std::byte*>(whole.w) + p * whole.w_stride;
      tile.sums = whole.sums + rows.begin * whole.sums_stride + p * kPanelWidth;
      tile.prefetch_panels = p == 0 ? lines.size() : 0;
      gemm.tiles[rows.size() - 1][panels - 1](tile);
    }
  }
}

}  // namespace veloz::cpu
