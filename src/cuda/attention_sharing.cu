// SPDX-License-Identifier: Apache-2.0
#include "cuda/attention_decode.cuh"
#include "cuda/attention_kernels.cuh"
#include "cuda/launch.h"
#include "cuda/ptx/dependent_launch.h"

/// Decoding of sequences whose blocks are partly the same: those of one request's beams, or of
/// requests with one prefix.
namespace veloz::cuda {
namespace {

/// The q rows of one kv head of neighbouring sequences of one token each.
struct NeighbourRows {
  const AttentionParams& params;
  int kv_head;
  int first_seq;
  int num_seqs;

  __device__ int count() const { return num_seqs * params.group; }
  __device__ int num_seen(int row) const { return row < count() ? params.kv_lens[seq(row)] : 0; }
  __device__ const Bf16* query(int row, int head_dim) const {
    return row < count() ? params.q + token(row) * params.q_stride + column(row, head_dim)
                         : nullptr;
  }
  __device__ Bf16* output(int row, int head_dim) const {
    return params.y + token(row) * params.y_stride + column(row, head_dim);
  }

 private:
  __device__ int seq(int row) const { return first_seq + row / params.group; }
  __device__ int64_t token(int row) const { return params.q_starts[seq(row)]; }
  __device__ int64_t column(int row, int head_dim) const {
    return static_cast<int64_t>(kv_head * params.group + row % params.group) * head_dim;
  }
};

/// A tile, and neighbours for whom it is the same memory. In one number: several are under way.
class SharedTile {
 public:
  SharedTile() = default;
  __device__ SharedTile(int tile, int first, int count, bool is_last_of_leaf)
      : code_(tile << 5 | first << 3 | (count - 1) << 1 | static_cast<int>(is_last_of_leaf)) {}

  __device__ bool exists() const { return code_ >= 0; }
  __device__ int tile() const { return code_ >> 5; }
  __device__ int first() const { return code_ >> 3 & 3; }  // of the thread block's sequences
  __device__ int count() const { return (code_ >> 1 & 3) + 1; }
  __device__ bool is_last_of_leaf() const { return (code_ & 1) != 0; }

 private:
  static_assert(kMaxSharingSeqs == 4, "two bits each");
  int code_ = -1;
};

/// The work of a thread block, found by every warp for itself: leaves in order, tiles in order, and
/// of each the neighbours in order. A lane looks at one of a leaf's tiles for one sequence.
class SharedTiles {
 public:
  /// Of leaves first_leaf, first_leaf + leaf_stride, ...
  __device__ SharedTiles(const AttentionParams& params, int first_seq, int num_seqs, int first_leaf,
                         int leaf_stride)
      : params_(params),
        first_seq_(first_seq),
        leaf_(first_leaf),
        leaf_stride_(leaf_stride),
        seq_(static_cast<int>(threadIdx.x) % kMaxSharingSeqs),
        kv_len_(seq_ < num_seqs ? params.kv_lens[first_seq + seq_] : 0) {
    look_at_leaf();
  }

  /// The next, or none.
  __device__ SharedTile next() {
    if (leads_ == 0) return {};
    const int lane = __ffs(static_cast<int>(leads_)) - 1;
    leads_ &= leads_ - 1;
    const int count = __ffs(static_cast<int>(~(follows_ >> lane >> 1)));
    const bool is_last = leads_ == 0;
    const int tile = leaf_ * kLeafTiles + lane / kMaxSharingSeqs;
    if (is_last) {
      leaf_ += leaf_stride_;
      look_at_leaf();
    }
    return {tile, lane % kMaxSharingSeqs, count, is_last};
  }

  __device__ int kv_len(const SharedTile& shared) const {
    return __shfl_sync(kFullMask, kv_len_, shared.first());
  }

 private:
  static_assert(kLeafTiles * kMaxSharingSeqs == 32, "a warp sees a leaf at once");

  /// Sequences join their left neighbour where they have the same blocks and as many of the tile's
  /// positions: so none is given anything to read that is not its own.
  __device__ void look_at_leaf() {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int begin = leaf_ * kLeafPositions + lane / kMaxSharingSeqs * kTilePositions;
    const int end = begin + kTilePositions < kv_len_ ? begin + kTilePositions : kv_len_;
    const int left_end = __shfl_up_sync(kFullMask, end, 1);
    const bool has_tile = begin < kv_len_;
    bool is_same = has_tile && seq_ > 0 && left_end == end;
    if (is_same) {
      const int32_t* const table =
          params_.block_tables + (first_seq_ + seq_) * params_.table_stride;
      const int last = table_index(end - 1, params_.block_inverse);
      for (int i = table_index(begin, params_.block_inverse); i <= last; ++i)
        is_same = is_same && table[i] == table[i - params_.table_stride];
    }
    follows_ = __ballot_sync(kFullMask, is_same);
    leads_ = __ballot_sync(kFullMask, has_tile && !is_same);
  }

  const AttentionParams& params_;
  int first_seq_;
  int leaf_;
  int leaf_stride_;
  int seq_;
  int kv_len_;
  unsigned leads_ = 0;    // bit 4 t + s: sequence s has tile t and takes it first
  unsigned follows_ = 0;  // it takes it along with the sequence before
};

/// grid: (split, kv head, neighbouring sequences).
template <bool kIsFp8, int kHeadDim>
__global__ void __launch_bounds__(kDecodeThreads, (DecodeShape<kIsFp8, kHeadDim>::kBlocks))
    sharing_decode_kernel(AttentionParams params, int seqs_per_block) {
  using Shape = DecodeShape<kIsFp8, kHeadDim>;
  wait_for_previous_kernel();
  allow_next_kernel();
  const int num_splits = static_cast<int>(gridDim.x);
  const int kv_head = static_cast<int>(blockIdx.y);
  const int first_seq = static_cast<int>(blockIdx.z) * seqs_per_block;
  const int seqs_left = params.num_seqs - first_seq;
  const NeighbourRows rows{params, kv_head, first_seq,
                           seqs_left < seqs_per_block ? seqs_left : seqs_per_block};
  SharedTiles tiles(params, first_seq, rows.num_seqs, static_cast<int>(blockIdx.x), num_splits);
  TileLoader<kDecodeThreads, Shape::kRowBytes> loader(params, first_seq, kv_head);
  SharedTile upcoming;
  const auto fetch_next = [&] {
    upcoming = tiles.next();
    if (!upcoming.exists()) return;
    loader.set_sequence(params, first_seq + upcoming.first());
    loader.fetch_blocks(upcoming.tile());
  };
  fetch_next();
  if (!upcoming.exists()) return;

  unsigned char* const stages = dynamic_shared();
  const auto load_next = [&](int stage) {
    const SharedTile loaded = upcoming;
    if (loaded.exists()) {
      loader.copy(loaded.tile(), tiles.kv_len(loaded), stages + stage * Shape::kStageBytes);
      fetch_next();
    }
    commit_copies();
    return loaded;
  };
  SharedTile queue[Shape::kStages];  // those in the stages, the one to compute with first
#pragma unroll
  for (int i = 0; i < Shape::kStages - 1; ++i) queue[i] = load_next(i);

  const DecodeThread<kIsFp8, kHeadDim, NeighbourRows> thread(rows, 0);
  const int num_seen[2] = {rows.num_seen(thread.row(0)), rows.num_seen(thread.row(1))};
  RowState<Shape::kOutTiles> total;
  RowState<Shape::kOutTiles> leaf;
  int stage = 0;
  int free_stage = Shape::kStages - 1;
  while (queue[0].exists()) {
    wait_for_copies<Shape::kStages - 2>();
    __syncthreads();
    queue[Shape::kStages - 1] = load_next(free_stage);
    const SharedTile shared = queue[0];
#pragma unroll
    for (int i = 0; i < Shape::kStages - 1; ++i) queue[i] = queue[i + 1];
    const unsigned char* const tile_memory = stages + stage * Shape::kStageBytes;
    stage = stage + 1 == Shape::kStages ? 0 : stage + 1;
    free_stage = free_stage + 1 == Shape::kStages ? 0 : free_stage + 1;

    if (shared.count() == rows.num_seqs) {
      thread.template add_tile<false>(leaf, tile_memory, shared.tile(), num_seen);
    } else {
      const int first_row = shared.first() * params.group;
      const int end_row = first_row + shared.count() * params.group;
      int seen_here[2];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const bool is_in = thread.row(half) >= first_row && thread.row(half) < end_row;
        seen_here[half] = is_in ? num_seen[half] : 0;
      }
      thread.template add_tile<true>(leaf, tile_memory, shared.tile(), seen_here);
    }

    if (!shared.is_last_of_leaf()) continue;
    if (num_splits == 1)
      fold_leaf(total, leaf, params.score_scale);
    else
      thread.store_leaf(leaf, static_cast<int64_t>(blockIdx.z) * gridDim.y + kv_head,
                        shared.tile() / kLeafTiles);
    leaf = RowState<Shape::kOutTiles>();
  }
  if (num_splits == 1) thread.store_output(total);
}

template <bool kIsFp8, int kHeadDim>
void launch_shape(CudaStream& stream, const AttentionParams& params, const DecodePlan& plan) {
  const int64_t num_groups = plan.num_units / params.num_kv_heads;
  launch(
      stream, "paged_attention/sharing_decode", sharing_decode_kernel<kIsFp8, kHeadDim>,
      {.grid = dim3(static_cast<unsigned>(plan.num_splits),
                    static_cast<unsigned>(params.num_kv_heads), static_cast<unsigned>(num_groups)),
       .block = dim3(kDecodeThreads),
       .shared_bytes = DecodeShape<kIsFp8, kHeadDim>::kSharedBytes},
      params, static_cast<int>(plan.seqs_per_block));
}

}  // namespace

template <bool kIsFp8>
void launch_sharing_decode(CudaStream& stream, const AttentionParams& params, int head_dim,
                           const DecodePlan& plan) {
  with_head_dim(head_dim,
                [&]<int kHeadDim>() { launch_shape<kIsFp8, kHeadDim>(stream, params, plan); });
}
template void launch_sharing_decode<false>(CudaStream&, const AttentionParams&, int,
                                           const DecodePlan&);
template void launch_sharing_decode<true>(CudaStream&, const AttentionParams&, int,
                                          const DecodePlan&);

}  // namespace veloz::cuda
