// SPDX-License-Identifier: Apache-2.0
#include "cpu/row_copies.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/numeric.h"
#include "cpu/gemm_tile.h"
#include "cpu/parallel.h"
#include "cpu/row_of.h"
#include "ops/kv_layout.h"

namespace veloz::cpu {
namespace {

/// y[r] = x[rows[r]]
void copy_rows(ThreadPool& pool, const TensorView& x, const TensorView& rows, const TensorView& y) {
  const size_t bytes = static_cast<size_t>(y.shape[1]) * dtype_bytes(y.dtype);
  for_each_row(pool, y.shape[0], y.shape[1], [&](int64_t r) {
    const int64_t from = rows.as<const int32_t>()[r];
    VELOZ_DCHECK(from >= 0 && from < x.shape[0], "row {} of {}", from, x.shape[0]);
    std::memcpy(row_of(y, r), row_of(x, from), bytes);
  });
}

template <typename Element>
void permute_columns_of(ThreadPool& pool, const ops::PermuteColumnsArgs& a) {
  const Element no_number(std::numeric_limits<float>::quiet_NaN());
  const int64_t width = a.x.shape[1];
  const auto* const columns = a.p.as<const int32_t>();
  for_each_row(pool, a.y.shape[0], width, [&](int64_t t) {
    const Element* const from = a.x.row<const Element>(t);
    Element* const to = a.y.row<Element>(t);
    for (int64_t k = 0; k < width; ++k) {
      const int64_t column = columns[k];
      to[k] = column >= 0 && column < width ? from[column] : no_number;
    }
  });
}

}  // namespace

void gather_rows(ops::OpContext& context, const ops::GatherRowsArgs& a) noexcept {
  copy_rows(*context.pool, a.x, a.rows, a.y);
}

void embedding(ops::OpContext& context, const ops::EmbeddingArgs& a) noexcept {
  copy_rows(*context.pool, a.table, a.tokens, a.y);
}

void packed_embedding(ops::OpContext& context, const ops::EmbeddingArgs& a) noexcept {
  const int64_t row_bytes = a.y.shape[1] * static_cast<int64_t>(dtype_bytes(a.y.dtype));
  const int64_t num_steps = ceil_div(row_bytes, kStepBytesX);
  for_each_row(*context.pool, a.y.shape[0], a.y.shape[1], [&](int64_t t) {
    const int64_t token = a.tokens.as<const int32_t>()[t];
    VELOZ_DCHECK(token >= 0 && token < a.table.shape[0], "token {} of {}", token, a.table.shape[0]);
    const std::byte* from = a.table.as<const std::byte>() +
                            token / kPanelWidth * num_steps * kStepBytes +
                            token % kPanelWidth * kStepBytesX;
    auto* const to = row_of(a.y, t);
    int64_t done = 0;
    for (; done + kStepBytesX <= row_bytes; done += kStepBytesX, from += kStepBytes)
      std::memcpy(to + done, from, kStepBytesX);
    if (done < row_bytes)  // odd K in bf16
      std::memcpy(to + done, from, static_cast<size_t>(row_bytes - done));
  });
}

void permute_columns(ops::OpContext& context, const ops::PermuteColumnsArgs& a) noexcept {
  if (a.x.dtype == DType::fp32)
    permute_columns_of<float>(*context.pool, a);
  else
    permute_columns_of<BFloat16>(*context.pool, a);
}

void copy_kv_row(const ops::KvAppendArgs& a, const ops::KvLayout& layout, int64_t t) {
  const auto element_bytes = static_cast<int64_t>(dtype_bytes(a.cache.dtype));
  const int64_t head_bytes = layout.head_dim * element_bytes;
  const int64_t step_bytes = layout.block_size * kStepBytesX;  // from one group of channels to next
  auto* const cache = a.cache.as<std::byte>();
  const int64_t slot = a.slots.as<const int64_t>()[t];
  VELOZ_DCHECK(slot >= 0 && slot < layout.num_blocks * layout.block_size, "slot {}", slot);
  for (int64_t head = 0; head < layout.num_kv_heads; ++head) {
    const std::byte* const k = row_of(a.k, t) + head * head_bytes;
    std::byte* to = cache + layout.k_index(slot, head, 0) * element_bytes;
    for (int64_t at = 0; at < head_bytes; at += kStepBytesX, to += step_bytes)
      std::memcpy(to, k + at, kStepBytesX);
    std::memcpy(cache + layout.v_index(slot, head, 0) * element_bytes,
                row_of(a.v, t) + head * head_bytes, static_cast<size_t>(head_bytes));
  }
}

void kv_append(ops::OpContext& context, const ops::KvAppendArgs& a) noexcept {
  const ops::KvLayout layout = ops::KvLayout::of(a.cache);
  for_each_row(*context.pool, a.k.shape[0], a.k.shape[1],
               [&](int64_t t) { copy_kv_row(a, layout, t); });
}

}  // namespace veloz::cpu
