// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>

#include "base/numeric.h"
#include "cuda/attention_plan.h"
#include "cuda/cudnn/attention.h"
#include "cuda/cudnn/sdpa_shape.h"

namespace veloz::cuda::cudnn {
namespace {

constexpr int64_t kMinTokens = 256;
/// Entries that may stay empty for each that the step's tokens fill.
constexpr int64_t kMaxEntriesPerChunk = 4;
constexpr int64_t kMaxChunkBytes = int64_t{32} << 20;

/// Of chunks, monotone in every extent; cut off where a step would rather go without.
size_t chunk_bytes(const ops::PagedAttentionArgs& args) {
  const int64_t num_long = std::min(args.q_starts.shape[0], args.q.shape[0] / min_long_rows(args));
  SdpaShape shape = sdpa_shape_of(args);
  shape.num_entries = entry_bucket(args.q.shape[0] / kChunkRows + num_long + 1);
  const int64_t bytes = ChunkLayout::of(shape).count * static_cast<int64_t>(sizeof(int32_t));
  return static_cast<size_t>(std::min(bytes, kMaxChunkBytes));
}

bool is_aligned(const TensorView& view) {
  constexpr int64_t kBytes = 16;
  return reinterpret_cast<uintptr_t>(view.data) % kBytes == 0 &&
         view.row_stride * static_cast<int64_t>(dtype_bytes(view.dtype)) % kBytes == 0;
}

}  // namespace

bool accepts(const ops::KernelQuery& query) {
  if (!accepts_paged_attention(query) || query.inputs[1].dtype != DType::bf16) return false;
  const int64_t block_size = query.inputs[1].dims[3].value;
  return (block_size & (block_size - 1)) == 0;
}

bool is_worth_asking(const ops::PagedAttentionArgs& args) {
  const int64_t num_tokens = args.q.shape[0];
  const int64_t num_extra = num_tokens - args.q_starts.shape[0];  // beyond one of each sequence
  const int64_t chunks = max_chunks(num_tokens, args.q_starts.shape[0], min_long_rows(args));
  // Offsets are counted in elements, by int32.
  const int64_t num_elements = num_tokens * std::max(args.q.row_stride, args.y.row_stride);
  return num_extra >= kMinTokens &&
         chunks <= kMaxEntriesPerChunk * ceil_div(num_extra, kChunkRows) &&
         num_elements <= std::numeric_limits<int32_t>::max() && is_aligned(args.q) &&
         is_aligned(args.y) && args.k_scale == 1 && args.v_scale == 1;
}

size_t workspace_bytes(const ops::OpCall& call, int num_threads) {
  return std::max(paged_attention_workspace_bytes(call, num_threads),
                  chunk_bytes(ops::PagedAttentionArgs::from(call)));
}

}  // namespace veloz::cuda::cudnn
