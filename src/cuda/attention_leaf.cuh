// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cuda/attention_products.cuh"
#include "cuda/ptx/barrier.h"
#include "cuda/ptx/cluster.h"

/// Decoding of few sequences: all tiles of a leaf at once, and all leaves of a sequence, so that
/// there are few latencies one after another. A team of kTeam thread blocks takes a leaf. Each
/// finds the scores of every kTeam-th tile and tells the team their maxima, then their weights; of
/// O each has a share of the columns, tile after tile. The teams of a sequence are a cluster, and
/// send each row of O to one of them, which folds it. What is sent is counted where it arrives: a
/// barrier of the cluster would be a fence, too, for all that a thread has under way.
namespace veloz::cuda {

constexpr int kLeafWarps = 8;
constexpr int kLeafThreads = kLeafWarps * 32;
constexpr int kGroupPositions = 16;  // of one block of the cache
// A row's maxima of the tiles: padded so that eight rows lie in different banks.
constexpr int kMaximaRow = kLeafTiles + 4;

/// Of what the team and the cluster send. Each is used once.
struct LeafBarriers {
  SharedBarrier maxima;   // of all tiles
  SharedBarrier weights;  // of all tiles, and V has come
  SharedBarrier outputs;  // of the rows that are folded here
};

/// Where a thread block keeps things.
template <bool kIsFp8, int kHeadDim, int kTeam>
struct LeafShape {
  static constexpr int kFloatBytes = sizeof(float);
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
  static constexpr int kOutputsAt = kWeightsAt + kLeafTiles * kWeightBytes;
  static constexpr int kSumsAt = kOutputsAt + kRowBlock * kColumns * kFloatBytes;
  static constexpr int kMaximaAt = kSumsAt + kRowBlock * 2 * kFloatBytes;
  static constexpr int kBarriersAt = kMaximaAt + kRowBlock * kMaximaRow * kFloatBytes;
  static constexpr int kSharedBytes = kBarriersAt + static_cast<int>(sizeof(LeafBarriers));
  static constexpr int kOutWarps = kColumns / 16 < kLeafWarps ? kColumns / 16 : kLeafWarps;
  static constexpr int kWarpColumns = kColumns / kOutWarps;
  static constexpr int kOutTiles = kWarpColumns / 8;
  static constexpr int kSteps = kHeadDim / 16;
  static_assert(kSharedBytes <= 227 * 1024, "a thread block has that much");
};

/// Where lane i finds the leaf's positions from 16 i on.
struct GroupPlace {
  int block;
  int row;  // of the block

  __device__ GroupPlace(const AttentionParams& params, int seq, int leaf_idx) {
    const int position =
        leaf_idx * kLeafPositions + static_cast<int>(threadIdx.x) % 32 * kGroupPositions;
    const int index = table_index(position, params.block_inverse);
    row = position - index * params.block_size;
    block = position < params.max_positions ? params.block_tables[seq * params.table_stride + index]
                                            : 0;
  }
};

/// Brings positions of a leaf into shared memory, 16 at a time by a warp; zeros beyond the
/// sequence's length.
template <int kRowBytes>
class LeafLoader {
 public:
  __device__ LeafLoader(const AttentionParams& params, int kv_head, int leaf_idx,
                        const GroupPlace& place)
      : first_position_(leaf_idx * kLeafPositions),
        lane_(static_cast<int>(threadIdx.x) % 32),
        place_(place) {
    const int64_t head_bytes = static_cast<int64_t>(params.block_size) * kRowBytes;
    half_bytes_ = params.num_kv_heads * head_bytes;
    head_ = params.cache + kv_head * head_bytes;
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
    const int64_t block = __shfl_sync(kFullMask, place_.block, group);
    const int first_row = __shfl_sync(kFullMask, place_.row, group);
    const int chunk = lane_ % kChunks;
    const unsigned char* const from =
        head_ + block * 2 * half_bytes_ + first_row * kRowBytes + first_byte + chunk * 16;
    const int num_valid = kv_len - first_position_ - group * kGroupPositions;
#pragma unroll
    for (int step = 0; step < kGroupPositions / kRowsPerStep; ++step) {
      const int row = step * kRowsPerStep + lane_ / kChunks;
      const bool is_valid = row < num_valid;
      const int row_of_tile = group % 4 * kGroupPositions + row;
      copy_async_16(to + chunk_offset<kBytes>(row_of_tile, chunk),
                    is_valid ? from + row * kRowBytes : head_, is_valid);
    }
  }

  int first_position_;
  int lane_;
  GroupPlace place_;
  const unsigned char* head_;
  int64_t half_bytes_;
};

/// A thread's part in the work of a thread block on a leaf.
template <bool kIsFp8, int kHeadDim, int kTeam>
class LeafThread {
 public:
  using Shape = LeafShape<kIsFp8, kHeadDim, kTeam>;
  using Loader = LeafLoader<Shape::kRowBytes>;
  using State = RowState<Shape::kOutTiles>;

  __device__ LeafThread(const SequenceRows& rows, int first_row, int slot_bits)
      : rows_(rows),
        first_row_(first_row),
        leaf_idx_(static_cast<int>(blockIdx.x) / kTeam),
        member_(static_cast<int>(blockIdx.x) % kTeam),
        slot_bits_(slot_bits),
        c_(rows.params.score_scale),
        warp_(static_cast<int>(threadIdx.x) / 32),
        lane_(static_cast<int>(threadIdx.x) % 32),
        g_(lane_ / 4),
        j_(lane_ % 4) {
    const int rows_left = rows.count() - first_row;
    num_rows_ = rows_left < kRowBlock ? rows_left : kRowBlock;
    num_leaves_ = (rows.kv_len + kLeafPositions - 1) / kLeafPositions;
    const int tiles =
        (rows.kv_len - leaf_idx_ * kLeafPositions + kTilePositions - 1) / kTilePositions;
    num_tiles_ = tiles < 0 ? 0 : tiles < kLeafTiles ? tiles : kLeafTiles;
  }

  /// By one thread. Afterwards the cluster meets.
  __device__ void init_barriers() const {
    init_barrier(&barriers().maxima, 1);
    init_barrier(&barriers().weights, kLeafWarps + 1);
    init_barrier(&barriers().outputs, 1);
    publish_barriers();
    const int own_tiles = (num_tiles_ - member_ + kTeam - 1) / kTeam;
    const int num_slots = 1 << slot_bits_;
    const int own_rows = (num_rows_ - leaf_idx_ + num_slots - 1) >> slot_bits_;
    const auto expect = [](SharedBarrier& barrier, int bytes) {
      arrive_expecting(&barrier, static_cast<uint32_t>(bytes));
    };
    expect(barriers().maxima, num_tiles_ * kRowBlock * Shape::kFloatBytes);
    expect(barriers().weights, (num_tiles_ - own_tiles) * kRowBlock * kTilePositions * 2);
    expect(barriers().outputs, num_leaves_ * own_rows * (Shape::kColumns + 2) * Shape::kFloatBytes);
  }

  /// The positions whose scores the warp finds.
  __device__ void load_keys(const Loader& loader) const {
#pragma unroll
    for (int pass = 0; pass < Shape::kPasses; ++pass)
      if (tile_of(pass) < num_tiles_)
        loader.copy_keys(tile_of(pass) * 4 + quarter(), rows_.kv_len, keys(pass));
    commit_copies();
  }
  /// kTiles tiles of the thread block's columns, all warps together.
  template <int kTiles>
  __device__ void load_values(const Loader& loader, int first_tile) const {
#pragma unroll
    for (int i = 0; i < kTiles * 4 / kLeafWarps; ++i) {
      const int group = first_tile * 4 + i * kLeafWarps + warp_;
      if (group < num_tiles_ * 4)
        loader.template copy_values<Shape::kValueRowBytes>(group, member_ * Shape::kValueRowBytes,
                                                           rows_.kv_len, values(group / 4));
    }
    commit_copies();
  }
  __device__ void load_queries() {
    queries_[0] = rows_.query(row(0), kHeadDim);
    queries_[1] = rows_.query(row(1), kHeadDim);
    load_query<kIsFp8>(q_, queries_, j_);
  }

  /// Of the keys that the warp has copied itself.
  __device__ void find_scores() {
    convert_query<kIsFp8>(q_, queries_);
    const int num_seen[2] = {rows_.num_seen(row(0)), rows_.num_seen(row(1))};
    wait_for_copies<1>();
    __syncwarp();
#pragma unroll
    for (int pass = 0; pass < Shape::kPasses; ++pass) {
      if (tile_of(pass) >= num_tiles_) continue;
      multiply_keys<kIsFp8, kHeadDim>(s_[pass], keys(pass), q_, quarter(), lane_);
      float maxima[2];
      hide_unseen(s_[pass], maxima,
                  leaf_idx_ * kLeafPositions + tile_of(pass) * kTilePositions +
                      quarter() * kQuarterPositions,
                  j_, num_seen);
#pragma unroll
      for (int half = 0; half < 2; ++half)
        if (j_ == 0) quarter_maxima(2 * pass + warp_ / 4, quarter())[half * 8 + g_] = maxima[half];
    }
    __syncthreads();
  }
  __device__ void send_maxima() const {
    const int tile = static_cast<int>(threadIdx.x) / kRowBlock;  // of the thread block's
    const int row = static_cast<int>(threadIdx.x) % kRowBlock;
    const int tile_of_leaf = member_ + kTeam * tile;
    if (tile >= kLeafTiles / kTeam || tile_of_leaf >= num_tiles_) return;
    float maximum = -INFINITY;
#pragma unroll
    for (int i = 0; i < 4; ++i) maximum = fmaxf(maximum, quarter_maxima(tile, i)[row]);
#pragma unroll
    for (int member = 0; member < kTeam; ++member)
      store_async(row_maxima(row) + tile_of_leaf, maximum, leaf_idx_ * kTeam + member,
                  &barriers().maxima);
  }
  /// Weights of the warp's scores, to the team.
  __device__ void send_weights() const {
    wait_for_stores(&barriers().maxima);
    float tile_maxima[2][kLeafTiles];
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll
      for (int i = 0; i < kLeafTiles; i += 4)
        *reinterpret_cast<float4*>(&tile_maxima[half][i]) =
            *reinterpret_cast<const float4*>(row_maxima(half * 8 + g_) + i);
#pragma unroll
    for (int pass = 0; pass < Shape::kPasses; ++pass) {
      if (tile_of(pass) >= num_tiles_) continue;
      float maxima[2] = {-INFINITY, -INFINITY};
#pragma unroll
      for (int half = 0; half < 2; ++half)
#pragma unroll
        for (int tile = 0; tile < kLeafTiles; ++tile)
          if (tile <= tile_of(pass)) maxima[half] = fmaxf(maxima[half], tile_maxima[half][tile]);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float shift = -finite_base(maxima[half]) * c_;
#pragma unroll
        for (int t = 0; t < 2; ++t)
          *reinterpret_cast<uint32_t*>(weights(tile_of(pass)) +
                                       weight_offset(quarter(), half, t, g_, j_)) =
              weight_pair<kIsFp8>(s_[pass], half, t, c_, shift);
      }
      __syncwarp();
      send_quarter(weights(tile_of(pass)) + weight_offset(quarter(), 0, lane_ % 2, lane_ / 2, 0));
    }
  }

  /// O of the warp's columns.
  __device__ void multiply_values_into(State& leaf) const {
    wait_for_copies<Shape::kIsTight ? 1 : 0>();
    __syncwarp();
    if (lane_ == 0) arrive(&barriers().weights);
    wait_for_stores(&barriers().weights);
    const bool are_meant[2] = {true, true};
    float upcoming[2];  // maxima of the next tile, ahead of when they are needed
    const auto fetch_maxima = [&](int tile) {
      for (int half = 0; half < 2; ++half) upcoming[half] = row_maxima(half * 8 + g_)[tile];
    };
    fetch_maxima(0);
    for (int tile = 0; tile < num_tiles_; ++tile) {
      if (Shape::kIsTight && tile == Shape::kEarlyTiles) {
        wait_for_copies<0>();
        __syncthreads();
      }
      if (warp_ >= Shape::kOutWarps) continue;
#pragma unroll
      for (int half = 0; half < 2; ++half)
        leaf.raise(half, fmaxf(leaf.maxima[half], upcoming[half]), c_);
      fetch_maxima(tile + 1);  // of padding after the last
      multiply_values<kIsFp8, Shape::kValueRowBytes, false>(
          leaf.o, leaf.sums, values(tile), weights(tile), are_meant,
          warp_ * (Shape::kValueRowBytes / 16 / Shape::kOutWarps), lane_);
    }
  }

  /// To those who fold the rows: of n teams the i-th has rows i, i + n, ...
  __device__ void send_leaf(const State& leaf) const {
    if (num_tiles_ == 0 || warp_ >= Shape::kOutWarps) return;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = half * 8 + g_;
      if (row >= num_rows_) continue;
      const int rank = (row & ((1 << slot_bits_) - 1)) * kTeam + member_;
      const int place = place_of(leaf_idx_, row);
      if (warp_ == 0 && j_ == 0)
        store_async(sums() + place, float2{leaf.maxima[half], leaf.sums[half * 2]}, rank,
                    &barriers().outputs);
#pragma unroll
      for (int t = 0; t < Shape::kOutTiles; ++t) {
        const OutputPair pair = output_pair<kIsFp8>(leaf.o, t, half, j_);
        store_async(outputs(place, warp_ * Shape::kWarpColumns + pair.column),
                    float2{pair.x, pair.y}, rank, &barriers().outputs);
      }
    }
  }
  __device__ void fold() const {
    wait_for_stores(&barriers().outputs);
    constexpr int kPairs = Shape::kColumns / 2;
    for (int i = static_cast<int>(threadIdx.x);; i += kLeafThreads) {
      const int row = leaf_idx_ + (i / kPairs << slot_bits_);
      const int column = i % kPairs * 2;
      if (row >= num_rows_) return;
      PairFold fold(c_);
#pragma unroll 4
      for (int leaf = 0; leaf < num_leaves_; ++leaf)
        fold.add(sums()[place_of(leaf, row)], *outputs(place_of(leaf, row), column));
      Bf16* const y = rows_.output(first_row_ + row, kHeadDim) + member_ * Shape::kColumns;
      *reinterpret_cast<uint32_t*>(y + column) = fold.output(rows_.params.v_scale);
    }
  }

 private:
  __device__ int row(int half) const { return first_row_ + half * 8 + g_; }
  /// Of the leaf, whose K the warp takes with others.
  __device__ int tile_of(int pass) const { return member_ + kTeam * (2 * pass + warp_ / 4); }
  __device__ int quarter() const { return warp_ % 4; }
  /// Of a leaf's row among those that its team folds.
  __device__ int place_of(int leaf, int row) const {
    return leaf * (kRowBlock >> slot_bits_) + (row >> slot_bits_);
  }

  /// 16 bytes of each lane, that lie here, to the others of the team.
  __device__ void send_quarter(unsigned char* bytes) const {
    const uint4 word = *reinterpret_cast<const uint4*>(bytes);
#pragma unroll
    for (int i = 1; i < kTeam; ++i)
      store_async(reinterpret_cast<uint4*>(bytes), word, leaf_idx_ * kTeam + (member_ ^ i),
                  &barriers().weights);
  }

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
  /// [kRowBlock], of a quarter of one of the thread block's tiles: where no weights are yet.
  __device__ float* quarter_maxima(int tile, int quarter) const {
    return reinterpret_cast<float*>(dynamic_shared() + Shape::kWeightsAt) +
           (tile * 4 + quarter) * kRowBlock;
  }
  __device__ float* row_maxima(int row) const {
    return reinterpret_cast<float*>(dynamic_shared() + Shape::kMaximaAt) + row * kMaximaRow;
  }
  __device__ float2* outputs(int place, int column) const {
    return reinterpret_cast<float2*>(
        reinterpret_cast<float*>(dynamic_shared() + Shape::kOutputsAt) + place * Shape::kColumns +
        column);
  }
  __device__ float2* sums() const {
    return reinterpret_cast<float2*>(dynamic_shared() + Shape::kSumsAt);
  }
  __device__ LeafBarriers& barriers() const {
    return *reinterpret_cast<LeafBarriers*>(dynamic_shared() + Shape::kBarriersAt);
  }

  const SequenceRows& rows_;
  int first_row_;
  int leaf_idx_;
  int member_;
  int slot_bits_;  // of the number of teams
  float c_;
  int warp_;
  int lane_;
  int g_;
  int j_;
  int num_rows_;
  int num_leaves_;
  int num_tiles_;  // of this leaf
  const Bf16* queries_[2];
  uint32_t q_[Shape::kSteps][4];
  float s_[Shape::kPasses][2][4] = {};
};

}  // namespace veloz::cuda
