// SPDX-License-Identifier: Apache-2.0
#include "cuda/cudnn/chunks.h"

#include "cuda/attention_plan.h"
#include "cuda/launch.h"
#include "cuda/ptx/dependent_launch.h"

namespace veloz::cuda {
namespace {

constexpr int kThreads = 128;

struct ChunkParams {
  const int32_t* q_starts;  // [num_seqs]
  const int32_t* q_lens;
  const int32_t* kv_lens;
  const int32_t* block_tables;  // [num_seqs, given_columns]
  int64_t table_stride;
  int32_t* q_offsets;  // [entries + 1]
  int32_t* y_offsets;
  int32_t* entry_q_lens;  // [entries]
  int32_t* entry_kv_lens;
  int32_t* tables;  // [entries, columns]
  int64_t q_stride;
  int64_t y_stride;
  int num_seqs;
  int num_tokens;
  int num_entries;
  int columns;
  int given_columns;
  int block_size;
  int group;
  int rows;  // of a chunk
};

struct Chunk {
  int seq;  // -1 where there are no more
  int first_token;
};

/// Number `index` of the chunks. All threads.
__device__ Chunk find_chunk(const ChunkParams& p, int index) {
  __shared__ int of_threads[kThreads];
  __shared__ Chunk found;
  const int thread = static_cast<int>(threadIdx.x);
  const int per_thread = (p.num_seqs + kThreads - 1) / kThreads;
  const int begin = thread * per_thread;
  const int end = begin + per_thread < p.num_seqs ? begin + per_thread : p.num_seqs;
  const auto chunks_of = [&](int seq) {
    const int q_len = p.q_lens[seq];
    return q_len <= 0 || is_short_sequence(q_len, p.group) ? 0 : (q_len + p.rows - 1) / p.rows;
  };
  int own = 0;
  for (int seq = begin; seq < end; ++seq) own += chunks_of(seq);
  of_threads[thread] = own;
  if (thread == 0) found = {-1, 0};
  __syncthreads();
  int rest = index;
  for (int t = 0; t < thread; ++t) rest -= of_threads[t];
  if (rest >= 0 && rest < own) {
    int seq = begin;
    for (int count = chunks_of(seq); rest >= count; count = chunks_of(seq)) {
      rest -= count;
      ++seq;
    }
    found = {seq, rest * p.rows};
  }
  __syncthreads();
  return found;
}

/// A block for each entry, and one for the end of the offsets.
__global__ void __launch_bounds__(kThreads) write_chunks_kernel(ChunkParams p) {
  wait_for_previous_kernel();
  allow_next_kernel();
  const int entry = static_cast<int>(blockIdx.x);
  const int thread = static_cast<int>(threadIdx.x);
  const Chunk chunk = find_chunk(p, entry);
  const bool is_used = chunk.seq >= 0;
  int first = p.num_tokens;
  int q_len = 0;
  int kv_len = 1;
  if (is_used) {
    const int all = p.q_lens[chunk.seq];
    first = p.q_starts[chunk.seq] + chunk.first_token;
    q_len = all - chunk.first_token < p.rows ? all - chunk.first_token : p.rows;
    kv_len = p.kv_lens[chunk.seq] - all + chunk.first_token + q_len;
  }
  if (thread == 0) {
    p.q_offsets[entry] = static_cast<int32_t>(first * p.q_stride);
    p.y_offsets[entry] = static_cast<int32_t>(first * p.y_stride);
  }
  if (entry == p.num_entries) return;
  if (thread == 0) {
    p.entry_q_lens[entry] = q_len;
    p.entry_kv_lens[entry] = kv_len;
  }
  const int blocks = is_used ? (kv_len + p.block_size - 1) / p.block_size : 0;
  for (int column = thread; column < p.columns; column += kThreads)
    p.tables[static_cast<int64_t>(entry) * p.columns + column] =
        column < blocks && column < p.given_columns
            ? p.block_tables[chunk.seq * p.table_stride + column]
            : 0;
}

}  // namespace

void write_chunks(CudaStream& stream, const ops::PagedAttentionArgs& args, const SdpaShape& shape,
                  int32_t* chunks) noexcept {
  const ChunkLayout layout = ChunkLayout::of(shape);
  const ChunkParams params = {.q_starts = args.q_starts.as<const int32_t>(),
                              .q_lens = args.q_lens.as<const int32_t>(),
                              .kv_lens = args.kv_lens.as<const int32_t>(),
                              .block_tables = args.block_tables.as<const int32_t>(),
                              .table_stride = args.block_tables.row_stride,
                              .q_offsets = chunks + layout.q_offsets,
                              .y_offsets = chunks + layout.y_offsets,
                              .entry_q_lens = chunks + layout.q_lens,
                              .entry_kv_lens = chunks + layout.kv_lens,
                              .tables = chunks + layout.tables,
                              .q_stride = shape.q_stride,
                              .y_stride = shape.y_stride,
                              .num_seqs = static_cast<int>(args.q_starts.shape[0]),
                              .num_tokens = static_cast<int>(args.q.shape[0]),
                              .num_entries = static_cast<int>(shape.num_entries),
                              .columns = static_cast<int>(shape.table_columns),
                              .given_columns = static_cast<int>(args.block_tables.shape[1]),
                              .block_size = static_cast<int>(shape.block_size),
                              .group = static_cast<int>(args.num_heads / args.num_kv_heads),
                              .rows = static_cast<int>(shape.chunk_rows)};
  launch(stream, "paged_attention/chunks", write_chunks_kernel,
         {.grid = dim3(static_cast<unsigned>(shape.num_entries + 1)), .block = dim3(kThreads)},
         params);
}

}  // namespace veloz::cuda
