// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "cuda/chunk.h"
#include "cuda/launch.h"
#include "cuda/ptx/dependent_launch.h"
#include "cuda/rope_value.h"
#include "cuda/row_block.h"
#include "cuda/rows.h"
#include "cuda/sin_cos.h"

namespace veloz::cuda {
namespace {

constexpr int kMaxPairs = 256;  // of one launch: their frequencies are kernel arguments

struct AngleRows {
  const int32_t* positions;
  float* angles;
  int64_t angles_stride;
  int64_t num_rows;
  int64_t half;
  int64_t begin;  // pairs [begin, begin + num_pairs)
  int num_pairs;
  float inv_freqs[kMaxPairs];
};

__global__ void __launch_bounds__(kMaxChunkThreads) rope_angles_kernel(AngleRows rows) {
  wait_for_previous_kernel();
  allow_next_kernel();
  const int64_t index = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t row = index / rows.num_pairs;
  const auto pair = static_cast<int>(index % rows.num_pairs);
  if (row >= rows.num_rows) return;
  const SinCos at = sin_cos(static_cast<float>(rows.positions[row]) * rows.inv_freqs[pair]);
  float* const angles = rows.angles + row * rows.angles_stride + rows.begin + pair;
  angles[0] = at.cos;
  angles[rows.half] = at.sin;
}

template <typename T>
struct RopeRows {
  const T* x;
  T* y;
  const float* angles;
  int64_t x_stride;
  int64_t y_stride;
  int64_t angles_stride;
  HeadItems head;
  unsigned num_items;  // of a row
  unsigned parts;      // blocks of a row
  bool is_vector;
};

template <typename T>
__global__ void __launch_bounds__(kMaxChunkThreads) rope_kernel(RopeRows<T> rows) {
  wait_for_previous_kernel();
  allow_next_kernel();
  const auto row = static_cast<int64_t>(blockIdx.x / rows.parts);
  const unsigned item = blockIdx.x % rows.parts * blockDim.x + threadIdx.x;
  if (item >= rows.num_items) return;
  const int64_t head = static_cast<int64_t>(item / rows.head.count) * rows.head.head_dim;
  store_item(rows.y + row * rows.y_stride + head,
             rotated_item(rows.head, item % rows.head.count, rows.x + row * rows.x_stride + head,
                          rows.angles + row * rows.angles_stride, rows.is_vector),
             rows.is_vector);
}

template <typename T>
void run(CudaStream& stream, const ops::RopeArgs& a) {
  const HeadItems head = HeadItems::of(a.head_dim, a.angles.shape[1], a.style);
  const int64_t num_items = a.num_heads * head.count;
  const ChunkBlocks blocks = choose_chunk_blocks(num_items);
  RopeRows<T> rows{.x = a.x.as<const T>(),
                   .y = a.y.as<T>(),
                   .angles = a.angles.as<const float>(),
                   .x_stride = a.x.row_stride,
                   .y_stride = a.y.row_stride,
                   .angles_stride = a.angles.row_stride,
                   .head = head,
                   .num_items = static_cast<unsigned>(num_items),
                   .parts = blocks.parts,
                   .is_vector = false};
  rows.is_vector = head.are_whole_chunks() && is_aligned(rows.x, rows.x_stride) &&
                   is_aligned(rows.y, rows.y_stride) && is_aligned(rows.angles, rows.angles_stride);
  launch(stream, "rope", rope_kernel<T>,
         {.grid = dim3(static_cast<unsigned>(a.y.shape[0]) * blocks.parts),
          .block = dim3(blocks.threads)},
         rows);
}

}  // namespace

void rope_angles(ops::OpContext& context, const ops::RopeAnglesArgs& a) noexcept {
  const int64_t half = a.rotary_dim / 2;
  AngleRows rows{.positions = a.positions.as<const int32_t>(),
                 .angles = a.angles.as<float>(),
                 .angles_stride = a.angles.row_stride,
                 .num_rows = a.angles.shape[0],
                 .half = half,
                 .begin = 0,
                 .num_pairs = 0,
                 .inv_freqs = {}};
  if (rows.num_rows == 0) return;
  for (; rows.begin < half; rows.begin += kMaxPairs) {
    rows.num_pairs = static_cast<int>(std::min<int64_t>(half - rows.begin, kMaxPairs));
    for (int i = 0; i < rows.num_pairs; ++i) rows.inv_freqs[i] = rope_inv_freq(a, rows.begin + i);
    const int64_t num_threads = rows.num_rows * rows.num_pairs;
    launch(stream_of(context), "rope_angles", rope_angles_kernel,
           {.grid = dim3(
                static_cast<unsigned>((num_threads + kMaxChunkThreads - 1) / kMaxChunkThreads)),
            .block = dim3(kMaxChunkThreads)},
           rows);
  }
}

void rope(ops::OpContext& context, const ops::RopeArgs& a) noexcept {
  if (a.y.shape[0] == 0) return;
  if (a.y.dtype == DType::bf16)
    run<Bf16>(stream_of(context), a);
  else
    run<float>(stream_of(context), a);
}

}  // namespace veloz::cuda
