// SPDX-License-Identifier: Apache-2.0
#include "cuda/attention_kernels.cuh"
#include "cuda/attention_products.cuh"
#include "cuda/launch.h"
#include "cuda/ptx/cluster.h"
#include "cuda/ptx/dependent_launch.h"

/// Decoding of few sequences: all tiles of a leaf at once, and all leaves of a sequence, so that
/// there are few latencies one after another. A team of kTeam thread blocks takes a leaf. Each
/// finds the scores of every kTeam-th tile and tells the team their maxima, then their weights; of
/// O each has a share of the columns, tile after tile. The teams of a sequence are a cluster, whose
/// thread blocks read each other's O to fold it.
namespace veloz::cuda {
namespace {

constexpr int kLeafWarps = 8;
constexpr int kLeafThreads = kLeafWarps * 32;
constexpr int kGroupPositions = 16;  // of one block of the cache
// A row's maxima, of each tile's quarters: padded so that eight rows lie in different banks.
constexpr int kMaximaRow = kLeafTiles * 4 + 4;

/// Where a thread block keeps things.
template <bool kIsFp8, int kHeadDim, int kTeam>
struct LeafShape {
  static constexpr int kRowBytes = kHeadDim * (kIsFp8 ? 1 : 2);  // of K
  static constexpr int kValueRowBytes = kRowBytes / kTeam;
  static constexpr int kColumns = kHeadDim / kTeam;       // of V and O
  static constexpr int kPasses = kLeafTiles / kTeam / 2;  // the warps take two tiles of K at a time
  static constexpr int kKeyTileBytes = kTilePositions * kRowBytes;
  static constexpr int kValueTileBytes = kTilePositions * kValueRowBytes;
  static constexpr int kKeyBytes = kPasses * 2 * kKeyTileBytes;
  // Where V finds no room beside K, its second half comes to where K was.
  static constexpr bool kIsTight = 2 * kKeyBytes > 200 * 1024;
  static constexpr int kEarlyTiles = kIsTight ? kLeafTiles / 2 : kLeafTiles;
  static constexpr int kTileBytes = kKeyBytes + kEarlyTiles * kValueTileBytes;
  static constexpr int kWeightsAt = kTileBytes;
  static constexpr int kMaximaAt = kWeightsAt + kLeafTiles * kWeightBytes;
  static constexpr int kSharedBytes =
      kMaximaAt + kRowBlock * kMaximaRow * static_cast<int>(sizeof(float));
  // The leaf's result lies where K was, behind V.
  static constexpr int kOutputsAt = kKeyBytes / 2;
  static constexpr int kSumsAt =
      kOutputsAt + kRowBlock * kColumns * static_cast<int>(sizeof(float));
  static constexpr int kOutWarps = kColumns / 16 < kLeafWarps ? kColumns / 16 : kLeafWarps;
  static constexpr int kWarpColumns = kColumns / kOutWarps;
  static constexpr int kOutTiles = kWarpColumns / 8;
  static constexpr int kSteps = kHeadDim / 16;
  static_assert(kSharedBytes <= 227 * 1024, "a thread block has that much");
};

/// Brings positions of a leaf into shared memory, 16 at a time by a warp; zeros beyond the
/// sequence's length. Lane i knows the block of the leaf's positions from 16 i.
template <int kRowBytes>
class LeafLoader {
 public:
  __device__ LeafLoader(const AttentionParams& params, int seq, int kv_head, int leaf_idx)
      : first_position_(leaf_idx * kLeafPositions), lane_(static_cast<int>(threadIdx.x) % 32) {
    const int64_t head_bytes = static_cast<int64_t>(params.block_size) * kRowBytes;
    half_bytes_ = params.num_kv_heads * head_bytes;
    head_ = params.cache + kv_head * head_bytes;
    const int position = first_position_ + lane_ * kGroupPositions;
    const int index = table_index(position, params.block_inverse);
    row_ = position - index * params.block_size;
    block_ = position < params.max_positions
                 ? params.block_tables[seq * params.table_stride + index]
                 : 0;
  }

  /// Rows of K of a group, to a tile.
  __device__ void copy_keys(int group, int kv_len, unsigned char* to) const {
    copy<kRowBytes>(group, 0, kv_len, to);
  }
  /// kBytes from first_byte of its rows of V.
  template <int kBytes>
  __device__ void copy_values(int group, int first_byte, int kv_len, unsigned char* to) const {
    copy<kBytes>(group, half_bytes_ + first_byte, kv_len, to);
  }

 private:
  template <int kBytes>
  __device__ void copy(int group, int64_t first_byte, int kv_len, unsigned char* to) const {
    constexpr int kChunks = kBytes / 16;
    constexpr int kRowsPerStep = 32 / kChunks;
    const int64_t block = __shfl_sync(kFullMask, block_, group);
    const int first_row = __shfl_sync(kFullMask, row_, group);
    const int chunk = lane_ % kChunks;
    const unsigned char* const from =
        head_ + block * 2 * half_bytes_ + first_row * kRowBytes + first_byte + chunk * 16;
    const int num_valid = kv_len - first_position_ - group * kGroupPositions;
#pragma unroll
    for (int row = lane_ / kChunks; row < kGroupPositions; row += kRowsPerStep) {
      const bool is_valid = row < num_valid;
      const int row_of_tile = group % 4 * kGroupPositions + row;
      copy_async_16(to + chunk_offset<kBytes>(row_of_tile, chunk),
                    is_valid ? from + row * kRowBytes : head_, is_valid);
    }
  }

  int first_position_;
  int lane_;
  const unsigned char* head_;
  int64_t half_bytes_;
  int block_;
  int row_;  // of the block
};

/// The thread blocks of a cluster that take a leaf together.
template <int kTeam>
struct Team {
  int first_rank;

  /// To the same place in each block's shared memory.
  template <typename T>
  __device__ void store(T* shared, T value) const {
    if constexpr (kTeam == 1) {
      *shared = value;
    } else {
#pragma unroll
      for (int member = 0; member < kTeam; ++member)
        *in_block_of_cluster(shared, first_rank + member) = value;
    }
  }
  __device__ void sync() const {
    if constexpr (kTeam == 1)
      __syncthreads();
    else
      sync_cluster();
  }
};

/// A thread's part in the work of a thread block on a leaf.
template <bool kIsFp8, int kHeadDim, int kTeam>
class LeafThread {
 public:
  using Shape = LeafShape<kIsFp8, kHeadDim, kTeam>;
  using Loader = LeafLoader<Shape::kRowBytes>;
  using State = RowState<Shape::kOutTiles>;

  __device__ LeafThread(const SequenceRows& rows, int first_row, int leaf_idx, int member)
      : rows_(rows),
        first_row_(first_row),
        first_position_(leaf_idx * kLeafPositions),
        member_(member),
        team_{leaf_idx * kTeam},
        c_(rows.params.score_scale),
        warp_(static_cast<int>(threadIdx.x) / 32),
        lane_(static_cast<int>(threadIdx.x) % 32),
        g_(lane_ / 4),
        j_(lane_ % 4) {
    const int tiles = (rows.kv_len - first_position_ + kTilePositions - 1) / kTilePositions;
    num_tiles_ = tiles < kLeafTiles ? tiles : kLeafTiles;
  }

  /// The positions whose scores the warp finds.
  __device__ void load_keys(const Loader& loader) const {
#pragma unroll
    for (int pass = 0; pass < Shape::kPasses; ++pass)
      if (tile_of(pass) < num_tiles_)
        loader.copy_keys(tile_of(pass) * 4 + quarter(), rows_.kv_len, keys(pass));
    commit_copies();
  }
  /// Tiles [begin, end) of the thread block's columns, all warps together.
  __device__ void load_values(const Loader& loader, int begin, int end) const {
    const int end_group = (end < num_tiles_ ? end : num_tiles_) * 4;
#pragma unroll 4
    for (int group = begin * 4 + warp_; group < end_group; group += kLeafWarps)
      loader.template copy_values<Shape::kValueRowBytes>(group, member_ * Shape::kValueRowBytes,
                                                         rows_.kv_len, values(group / 4));
    commit_copies();
  }
  __device__ void load_queries() {
    const Bf16* const queries[2] = {rows_.query(row(0), kHeadDim), rows_.query(row(1), kHeadDim)};
    load_query<kIsFp8>(q_, queries, j_);
    convert_query<kIsFp8>(q_, queries);
  }

  /// Of the keys that the warp has copied itself.
  __device__ void find_scores() {
    const int num_seen[2] = {rows_.num_seen(row(0)), rows_.num_seen(row(1))};
#pragma unroll
    for (int pass = 0; pass < Shape::kPasses; ++pass) {
      if (tile_of(pass) >= num_tiles_) continue;
      multiply_keys<kIsFp8, kHeadDim>(s_[pass], keys(pass), q_, quarter(), lane_);
      hide_unseen(s_[pass], maxima_[pass],
                  first_position_ + tile_of(pass) * kTilePositions + quarter() * kQuarterPositions,
                  j_, num_seen);
    }
  }
  __device__ void share_maxima() const {
#pragma unroll
    for (int pass = 0; pass < Shape::kPasses; ++pass)
#pragma unroll
      for (int half = 0; half < 2; ++half)
        if (tile_of(pass) < num_tiles_ && j_ == 0)
          team_.store(row_maxima(half) + tile_of(pass) * 4 + quarter(), maxima_[pass][half]);
    team_.sync();
  }
  /// The caller syncs.
  __device__ void share_weights() const {
    float maxima[2] = {-INFINITY, -INFINITY};
    int tile = 0;  // of which and of those before it these are
#pragma unroll
    for (int pass = 0; pass < Shape::kPasses; ++pass) {
      if (tile_of(pass) >= num_tiles_) continue;
      for (; tile <= tile_of(pass); ++tile)
#pragma unroll
        for (int half = 0; half < 2; ++half)
          maxima[half] = running_maximum(maxima[half], half, tile);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float shift = -finite_base(maxima[half]) * c_;
#pragma unroll
        for (int t = 0; t < 2; ++t)
          team_.store(reinterpret_cast<uint32_t*>(weights(tile_of(pass)) +
                                                  weight_offset(quarter(), half, t, g_, j_)),
                      weight_pair<kIsFp8>(s_[pass], half, t, c_, shift));
      }
    }
  }
  __device__ void sync_team() const { team_.sync(); }

  /// O of the warp's columns.
  __device__ void multiply_values_into(State& leaf) const {
    const bool are_meant[2] = {true, true};
    for (int tile = 0; tile < num_tiles_; ++tile) {
      if (Shape::kIsTight && tile == Shape::kEarlyTiles) {
        wait_for_copies<0>();
        __syncthreads();
      }
      if (warp_ >= Shape::kOutWarps) continue;
#pragma unroll
      for (int half = 0; half < 2; ++half)
        leaf.raise(half, running_maximum(leaf.maxima[half], half, tile), c_);
      multiply_values<kIsFp8, Shape::kValueRowBytes, false>(
          leaf.o, leaf.sums, values(tile), weights(tile), are_meant,
          warp_ * (Shape::kValueRowBytes / 16 / Shape::kOutWarps), lane_);
    }
  }

  /// For the cluster to fold.
  __device__ void store_leaf(const State& leaf) const {
    if (warp_ >= Shape::kOutWarps) return;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = half * 8 + g_;
      if (warp_ == 0 && j_ == 0) sums()[row] = float2{leaf.maxima[half], leaf.sums[half * 2]};
      float* const to = outputs() + row * Shape::kColumns + warp_ * Shape::kWarpColumns;
#pragma unroll
      for (int t = 0; t < Shape::kOutTiles; ++t) {
        const OutputPair pair = output_pair<kIsFp8>(leaf.o, t, half, j_);
        *reinterpret_cast<float2*>(to + pair.column) = float2{pair.x, pair.y};
      }
    }
  }

  /// Of the thread block's columns, a share of its own among the teams.
  __device__ void fold(int slot, int num_slots, int num_leaves) const {
    constexpr int kPairs = Shape::kColumns / 2;
    const int rows_left = rows_.count() - first_row_;
    const int num_pairs = (rows_left < kRowBlock ? rows_left : kRowBlock) * kPairs;
    for (int pair = slot * kLeafThreads + static_cast<int>(threadIdx.x); pair < num_pairs;
         pair += num_slots * kLeafThreads) {
      const int row = pair / kPairs;
      const int column = pair % kPairs * 2;
      PairFold fold(c_);
#pragma unroll 4
      for (int leaf = 0; leaf < num_leaves; ++leaf) {
        const int rank = leaf * kTeam + member_;
        fold.add(*in_block_of_cluster(sums() + row, rank),
                 *reinterpret_cast<const float2*>(
                     in_block_of_cluster(outputs() + row * Shape::kColumns + column, rank)));
      }
      Bf16* const y = rows_.output(first_row_ + row, kHeadDim) + member_ * Shape::kColumns;
      *reinterpret_cast<uint32_t*>(y + column) = fold.output(rows_.params.v_scale);
    }
    __syncwarp();
  }

 private:
  __device__ int row(int half) const { return first_row_ + half * 8 + g_; }
  /// Of the leaf, whose K the warp takes with others.
  __device__ int tile_of(int pass) const { return member_ + kTeam * (2 * pass + warp_ / 4); }
  __device__ int quarter() const { return warp_ % 4; }

  __device__ unsigned char* keys(int pass) const {
    return dynamic_shared() + (2 * pass + warp_ / 4) * Shape::kKeyTileBytes;
  }
  __device__ unsigned char* values(int tile) const {
    return dynamic_shared() +
           (Shape::kKeyBytes + tile * Shape::kValueTileBytes) % Shape::kTileBytes;
  }
  __device__ unsigned char* weights(int tile) const {
    return dynamic_shared() + Shape::kWeightsAt + tile * kWeightBytes;
  }
  __device__ float* row_maxima(int half) const {
    return reinterpret_cast<float*>(dynamic_shared() + Shape::kMaximaAt) +
           (half * 8 + g_) * kMaximaRow;
  }
  __device__ float* outputs() const {
    return reinterpret_cast<float*>(dynamic_shared() + Shape::kOutputsAt);
  }
  __device__ float2* sums() const {
    return reinterpret_cast<float2*>(dynamic_shared() + Shape::kSumsAt);
  }

  /// Of a tile and those before it, whose maximum is `before`.
  __device__ float running_maximum(float before, int half, int tile) const {
    const float4 quarters = *reinterpret_cast<const float4*>(row_maxima(half) + tile * 4);
    return fmaxf(fmaxf(before, fmaxf(quarters.x, quarters.y)), fmaxf(quarters.z, quarters.w));
  }

  const SequenceRows& rows_;
  int first_row_;
  int first_position_;
  int member_;
  Team<kTeam> team_;
  float c_;
  int warp_;
  int lane_;
  int g_;
  int j_;
  int num_tiles_;  // of the leaf, below 1 beyond the sequence
  uint32_t q_[Shape::kSteps][4];
  float s_[Shape::kPasses][2][4] = {};
  float maxima_[Shape::kPasses][2];
};

/// grid: (leaf and member of its team, kv head and block of its rows, sequence); a row of it is a
/// cluster.
template <bool kIsFp8, int kHeadDim, int kTeam>
__global__ void __launch_bounds__(kLeafThreads, 1)
    leaf_attention_kernel(AttentionParams params, int row_blocks) {
  using Shape = LeafShape<kIsFp8, kHeadDim, kTeam>;
  wait_for_previous_kernel();
  allow_next_kernel();
  const int seq = static_cast<int>(blockIdx.z);
  const int unit_in_seq = static_cast<int>(blockIdx.y);
  const int kv_head = unit_in_seq / row_blocks;
  const int leaf_idx = static_cast<int>(blockIdx.x) / kTeam;
  const int num_slots = static_cast<int>(gridDim.x) / kTeam;
  const LeafLoader<Shape::kRowBytes> loader(params, seq, kv_head, leaf_idx);
  const SequenceRows rows(params, seq, kv_head);
  const int first_row = unit_in_seq % row_blocks * kRowBlock;
  const int num_leaves = (rows.kv_len + kLeafPositions - 1) / kLeafPositions;
  if (!is_short_sequence(rows.q_len, params.group) || first_row >= rows.count()) return;
  arrive_at_cluster();

  LeafThread<kIsFp8, kHeadDim, kTeam> thread(rows, first_row, leaf_idx,
                                             static_cast<int>(blockIdx.x) % kTeam);
  thread.load_keys(loader);
  thread.load_values(loader, 0, Shape::kEarlyTiles);
  thread.load_queries();
  wait_for_copies<1>();
  __syncwarp();
  thread.find_scores();
  wait_for_cluster();  // all have begun
  thread.share_maxima();
  if (Shape::kIsTight) thread.load_values(loader, Shape::kEarlyTiles, kLeafTiles);
  thread.share_weights();
  wait_for_copies<Shape::kIsTight ? 1 : 0>();
  thread.sync_team();

  RowState<Shape::kOutTiles> leaf;
  thread.multiply_values_into(leaf);
  thread.store_leaf(leaf);
  sync_cluster();
  thread.fold(leaf_idx, num_slots, num_leaves);
  arrive_at_cluster();
  wait_for_cluster();  // nobody reads here any more
}

template <bool kIsFp8, int kHeadDim, int kTeam>
void launch_team(CudaStream& stream, const AttentionParams& params, const DecodePlan& plan) {
  using Shape = LeafShape<kIsFp8, kHeadDim, kTeam>;
  const auto cluster_blocks = static_cast<int>(plan.cluster->num_slots * kTeam);
  const auto row_blocks = static_cast<int>(plan.row_blocks);
  launch(stream, "paged_attention/leaf", leaf_attention_kernel<kIsFp8, kHeadDim, kTeam>,
         {.grid = dim3(static_cast<unsigned>(cluster_blocks),
                       static_cast<unsigned>(params.num_kv_heads * row_blocks),
                       static_cast<unsigned>(params.num_seqs)),
          .block = dim3(kLeafThreads),
          .shared_bytes = Shape::kSharedBytes,
          .cluster_blocks = cluster_blocks},
         params, row_blocks);
}

template <bool kIsFp8, int kHeadDim>
void launch_shape(CudaStream& stream, const AttentionParams& params, const DecodePlan& plan) {
  constexpr int kRowBytes = kHeadDim * (kIsFp8 ? 1 : 2);
  const auto launch_if_planned = [&]<int kTeam>() {
    if constexpr (fits_leaf(kRowBytes, kTeam))
      if (plan.cluster->blocks_per_leaf == kTeam)
        launch_team<kIsFp8, kHeadDim, kTeam>(stream, params, plan);
  };
  launch_if_planned.template operator()<1>();
  launch_if_planned.template operator()<2>();
  launch_if_planned.template operator()<4>();
}

}  // namespace

template <bool kIsFp8>
void launch_leaf_decode(CudaStream& stream, const AttentionParams& params, int head_dim,
                        const DecodePlan& plan) {
  if (head_dim == 64)
    launch_shape<kIsFp8, 64>(stream, params, plan);
  else if (head_dim == 128)
    launch_shape<kIsFp8, 128>(stream, params, plan);
  else
    launch_shape<kIsFp8, 256>(stream, params, plan);
}
template void launch_leaf_decode<false>(CudaStream&, const AttentionParams&, int,
                                        const DecodePlan&);
template void launch_leaf_decode<true>(CudaStream&, const AttentionParams&, int, const DecodePlan&);

}  // namespace veloz::cuda
