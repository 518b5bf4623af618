// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cuda/gemm_tile.h"
#include "cuda/gpu.h"
#include "cuda/numeric.h"
#include "cuda/ptx/barrier.h"
#include "cuda/ptx/dependent_launch.h"
#include "cuda/ptx/matrix.h"
#include "cuda/ptx/prefetch.h"
#include "cuda/ptx/registers.h"
#include "cuda/ptx/tensor_copy.h"
#include "cuda/ptx/wgmma.h"

/// y[t, n] = sum over k of x[t, k] w[n, k], scaled. The weight is the left operand of wgmma, so
/// that one token costs 8 columns and not 64. A producer thread copies slices of 128 bytes of K of
/// the weight's rows and of the tokens into a ring in shared memory; one or two warpgroups
/// multiply.
///
/// The order of every sum is a property of K: bf16 and int8 have one chain over K in steps of 32
/// bytes; fp8 has a chain within each slice of 128 columns and adds the slices, in order, in fp32,
/// as the chain itself keeps fewer bits. Then come the weight's scale, the token's, the bias. It is
/// also the order of cuBLASLt's kernels for Hopper, as far as they do not split K (LibraryUse), and
/// kOurBits of cublaslt/gemm.h numbers it.
namespace veloz::cuda {

constexpr int kSliceBytes = kTileRowBytes;
constexpr int kWarpgroupThreads = 128;
constexpr int kStepBytes = 32;  // of K in one wgmma
constexpr int kStepsPerSlice = kSliceBytes / kStepBytes;
constexpr int kRowsPerStore = 8;  // of one token, by one thread

struct GemmParams {
  void* y;
  const float* x_scales;  // null where there are none
  const float* w_scales;
  const float* bias;  // may be null
  int64_t y_stride;
  int64_t x_scales_stride;
  int num_tokens;
  int num_rows;
  int num_slices;
  int num_groups;
  int num_copied_tokens;  // of each tile: no more than there are
  bool is_fp32;           // y
  bool is_y_aligned_16;   // its rows
};

/// How the elements of a kind are multiplied, summed and scaled.
struct Bf16Math {
  using Product = Bf16Product;
  static constexpr int kSliceElements = kSliceBytes / 2;
  static constexpr bool kPromotes = false;
  static constexpr bool kIsGrouped = false;
  static constexpr bool kIsScaled = false;
};
struct Fp8Math {
  using Product = E4M3Product;
  static constexpr int kSliceElements = kSliceBytes;
  static constexpr bool kPromotes = true;
  static constexpr bool kIsGrouped = false;
  static constexpr bool kIsScaled = true;
};
/// One group per slice.
struct GroupedFp8Math {
  using Product = E4M3Product;
  static constexpr int kSliceElements = kSliceBytes;
  static constexpr bool kPromotes = true;
  static constexpr bool kIsGrouped = true;
  static constexpr bool kIsScaled = false;  // at the end: the slices were
};
struct Int8Math {
  using Product = Int8Product;
  static constexpr int kSliceElements = kSliceBytes;
  static constexpr bool kPromotes = false;
  static constexpr bool kIsGrouped = false;
  static constexpr bool kIsScaled = true;
};

/// Sizes that follow from the tile.
template <int kRows, int kTokens>
struct GemmShape {
  static constexpr int kConsumers = kRows > kProductRows ? 2 : 1;  // warpgroups
  static constexpr int kRowsPerConsumer = kRows / kConsumers;
  static constexpr int kProductsPerConsumer = kRowsPerConsumer / kProductRows;
  static constexpr int kConsumerWarps = kConsumers * kWarpgroupThreads / 32;
  // Large tiles keep their sums in more registers than an even share: the producer's warp becomes a
  // warpgroup, which is what registers are moved between.
  static constexpr bool kMovesRegisters = kRows * kTokens >= 128 * 128;
  static constexpr int kProducerThreads = kMovesRegisters ? kWarpgroupThreads : 32;
  static constexpr int kThreads = kConsumers * kWarpgroupThreads + kProducerThreads;
  static constexpr int kConsumerRegisters = 232;  // of the 168 that each of 384 threads starts with
  static constexpr int kProducerRegisters = 40;
  // Two blocks share a multiprocessor where the weights' bytes are the limit.
  static constexpr int kBlocksPerMultiprocessor = kTokens <= 32 || kRows * kTokens <= 4096 ? 2 : 1;

  // Sums on their way from the warps' fragments to rows of y.
  static constexpr int kStagedTokens = kTokens < 16 ? kTokens : 16;
  static constexpr int kStagedStride = 20;  // 16 rows, and 4 against bank conflicts
  static constexpr int kStagedWords = kStagedTokens * kStagedStride;  // per warp

  static constexpr int kWeightBytes = kRows * kSliceBytes;  // of one slice
  static constexpr int kTokenBytes = kTokens * kSliceBytes;
  static constexpr int kStagingBytes = kConsumerWarps * kStagedWords * 4;
  static constexpr int kMaxStages = 32;
  static constexpr int kBarrierBytes = 2 * kMaxStages * static_cast<int>(sizeof(SharedBarrier));
  // A multiprocessor has 228 KiB, and each block costs 1 KiB on top of what it asks for.
  static constexpr int kBudget = 228 * 1024 / kBlocksPerMultiprocessor - 1024;
  static constexpr int kFitting =
      (kBudget - kStagingBytes - kBarrierBytes) / (kWeightBytes + kTokenBytes);
  static constexpr int kStages = kFitting < kMaxStages ? kFitting : kMaxStages;
  static constexpr int kSharedBytes =
      kStages * (kWeightBytes + kTokenBytes) + kStagingBytes + kBarrierBytes;

  static_assert(kStages >= 4, "fewer stages than a copy's latency is worth");
};

/// Where in the ring, and which phase its barriers have there.
template <int kStages>
struct RingPosition {
  int stage = 0;
  uint32_t parity = 0;
  __device__ void advance() {
    if (++stage < kStages) return;
    stage = 0;
    parity ^= 1;
  }
};

template <int kRows, int kTokens>
struct GemmShared {
  using Shape = GemmShape<kRows, kTokens>;
  unsigned char* base;

  __device__ unsigned char* weights(int stage) const { return base + stage * Shape::kWeightBytes; }
  __device__ unsigned char* tokens(int stage) const {
    return base + Shape::kStages * Shape::kWeightBytes + stage * Shape::kTokenBytes;
  }
  __device__ void* staging(int warp) const {
    return base + Shape::kStages * (Shape::kWeightBytes + Shape::kTokenBytes) +
           warp * Shape::kStagedWords * 4;
  }
  __device__ SharedBarrier* full(int stage) const {
    return reinterpret_cast<SharedBarrier*>(base + Shape::kSharedBytes - Shape::kBarrierBytes) +
           stage;
  }
  __device__ SharedBarrier* empty(int stage) const { return full(stage) + Shape::kMaxStages; }
};

/// Tiles in the order in which they are computed: in bands of a few tiles of tokens, so that blocks
/// that run at the same time share tokens as well as rows of the weight.
template <int kRows, int kTokens>
struct TileOrder {
  static constexpr int kBand = 8;
  int row_tiles;
  int token_tiles;

  __device__ explicit TileOrder(const GemmParams& p)
      : row_tiles((p.num_rows + kRows - 1) / kRows),
        token_tiles((p.num_tokens + kTokens - 1) / kTokens) {}
  __device__ int count() const { return row_tiles * token_tiles; }
  struct Place {
    int row;
    int token;
  };
  __device__ Place place(int tile) const {
    const int band = tile / (kBand * row_tiles);
    const int width = min(kBand, token_tiles - band * kBand);
    const int in_band = tile - band * kBand * row_tiles;
    return {in_band / width * kRows, (band * kBand + in_band % width) * kTokens};
  }
};

/// Fills the ring, for all tiles of this block.
template <typename Math, int kRows, int kTokens>
__device__ __forceinline__ void produce(const TensorMap* w_map, const TensorMap* x_map,
                                        const GemmParams& p,
                                        const GemmShared<kRows, kTokens>& shared) {
  using Shape = GemmShape<kRows, kTokens>;
  const uint32_t num_bytes =
      Shape::kWeightBytes + static_cast<uint32_t>(p.num_copied_tokens) * kSliceBytes;
  const TileOrder<kRows, kTokens> order(p);
  const uint64_t w_policy = cache_policy(order.token_tiles == 1 ? Reuse::once : Reuse::some);
  const uint64_t x_policy = cache_policy(Reuse::some);
  prefetch_map(w_map);
  prefetch_map(x_map);

  // Weights are nobody's output: the ring's first lap of them comes while the kernel before this
  // one still runs.
  int tile = static_cast<int>(blockIdx.x);
  auto place = order.place(tile);
  const int num_early = min(Shape::kStages, p.num_slices);
  for (int slice = 0; slice < num_early; ++slice) {
    arrive_expecting(shared.full(slice), num_bytes);
    load_tile(shared.weights(slice), w_map, slice * Math::kSliceElements, place.row,
              shared.full(slice), w_policy);
  }
  wait_for_previous_kernel();
  RingPosition<Shape::kStages> ring;
  for (int slice = 0; slice < num_early; ++slice) {
    load_tile(shared.tokens(slice), x_map, slice * Math::kSliceElements, place.token,
              shared.full(slice), x_policy);
    ring.advance();
  }

  int slice = num_early;
  for (;;) {
    for (; slice < p.num_slices; ++slice) {
      SharedBarrier* const full = shared.full(ring.stage);
      wait_for_phase(shared.empty(ring.stage), ring.parity ^ 1);
      arrive_expecting(full, num_bytes);
      const int column = slice * Math::kSliceElements;
      load_tile(shared.weights(ring.stage), w_map, column, place.row, full, w_policy);
      load_tile(shared.tokens(ring.stage), x_map, column, place.token, full, x_policy);
      ring.advance();
    }
    tile += static_cast<int>(gridDim.x);
    if (tile >= order.count()) return;
    place = order.place(tile);
    slice = 0;
  }
}

/// One slice's products of 64 rows: d = (or d +=) w x.
template <typename Product, int kTokens>
__device__ __forceinline__ void multiply_slice(typename Product::Sum (&d)[kTokens / 2],
                                               uint64_t weights, uint64_t tokens, bool accumulate) {
#pragma unroll
  for (int step = 0; step < kStepsPerSlice; ++step)
    multiply<Product, kTokens>(d, weights + descriptor_step(step * kStepBytes),
                               tokens + descriptor_step(step * kStepBytes), accumulate || step > 0);
}

/// Multiplies the slices of one tile as they come.
template <typename Math, int kRows, int kTokens>
struct Consumer {
  using Shape = GemmShape<kRows, kTokens>;
  using Product = typename Math::Product;
  using Sum = typename Product::Sum;
  static constexpr int kProducts = Shape::kProductsPerConsumer;
  static constexpr int kSums = kTokens / 2;  // per thread and product

  const GemmParams& p;
  const GemmShared<kRows, kTokens> shared;
  const int consumer;  // warpgroup
  const int warp;      // of all consumers
  const int lane;
  RingPosition<Shape::kStages> ring;

  __device__ uint64_t weights(int stage, int product) const {
    return matrix_descriptor(
        shared_address(shared.weights(stage)) +
        static_cast<uint32_t>(consumer * Shape::kRowsPerConsumer + product * kProductRows) *
            kSliceBytes);
  }
  __device__ uint64_t tokens(int stage) const {
    return matrix_descriptor(shared_address(shared.tokens(stage)));
  }
  /// This warp will not read the stage again.
  __device__ __forceinline__ void release(int stage) const {
    if (lane == 0) arrive(shared.empty(stage));
  }

  /// One chain over K.
  __device__ __forceinline__ void sum_chain(Sum (&sums)[kProducts][kSums]) {
    int previous = 0;
    for (int slice = 0; slice < p.num_slices; ++slice) {
      const int stage = ring.stage;
      wait_for_phase(shared.full(stage), ring.parity);
      ring.advance();
      begin_products();
#pragma unroll
      for (int i = 0; i < kProducts; ++i)
        multiply_slice<Product, kTokens>(sums[i], weights(stage, i), tokens(stage), slice > 0);
      commit_products();
      if (slice > 0) {
        wait_for_products<1>();
        release(previous);
      }
      previous = stage;
    }
    wait_for_products<0>();
    release(previous);
#pragma unroll
    for (int i = 0; i < kProducts; ++i) settle(sums[i]);
  }

  /// Adds the sums of a slice of K, with its group's scales where there are groups.
  __device__ __forceinline__ void promote(Sum (&sums)[kSums], const Sum (&part)[kSums], int slice,
                                          int row, int token) const {
    if constexpr (!Math::kIsGrouped) {
#pragma unroll
      for (int i = 0; i < kSums; ++i) sums[i] += part[i];
    } else {
      // Rows and tokens past the end have no scales; their sums are not kept.
      const int first = row + warp % 4 * 16 + lane / 4;
      float w_scale[2];
#pragma unroll
      for (int i = 0; i < 2; ++i)
        w_scale[i] =
            p.w_scales[static_cast<int64_t>(min(first + 8 * i, p.num_rows - 1)) * p.num_groups +
                       slice];
#pragma unroll
      for (int i = 0; i < kTokens / 8; ++i) {
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          const int t = min(token + 8 * i + lane % 4 * 2 + j, p.num_tokens - 1);
          const float x_scale = p.x_scales[t * p.x_scales_stride + slice];
#pragma unroll
          for (int h = 0; h < 2; ++h) {
            const int at = 4 * i + 2 * h + j;
            sums[at] = fmaf(part[at], x_scale * w_scale[h], sums[at]);
          }
        }
      }
    }
  }

  /// Chains of one slice each, added up. While this warpgroup adds, another one multiplies.
  __device__ __forceinline__ void sum_slices(Sum (&sums)[kProducts][kSums], int row, int token) {
    Sum part[kSums] = {};
    for (int slice = 0; slice < p.num_slices; ++slice) {
      const int stage = ring.stage;
      wait_for_phase(shared.full(stage), ring.parity);
      ring.advance();
#pragma unroll
      for (int i = 0; i < kProducts; ++i) {
        begin_products();
        multiply_slice<Product, kTokens>(part, weights(stage, i), tokens(stage), false);
        commit_products();
        wait_for_products<0>();
        settle(part);
        if (i == kProducts - 1) release(stage);
        promote(sums[i], part, slice, row + i * kProductRows, token);
      }
    }
  }

  /// What 8 rows are scaled by, and what is added to them.
  struct RowTerms {
    float scale[kRowsPerStore];
    float bias[kRowsPerStore];
  };
  /// The first row that this thread writes of those of its warpgroup's first product.
  __device__ __forceinline__ int first_row(int row) const {
    return row + warp % 4 * 16 + lane % 2 * kRowsPerStore;
  }
  /// They come while the tile is multiplied.
  __device__ __forceinline__ void ask_for_row_scales(int row) const {
#pragma unroll
    for (int i = 0; i < kProducts; ++i) {
      const int from_row = first_row(row) + i * kProductRows;
      if (from_row < p.num_rows) prefetch_to_l2(p.w_scales + from_row);
    }
  }
  __device__ __forceinline__ RowTerms row_terms(int row, int row_end) const {
    RowTerms terms;
#pragma unroll
    for (int i = 0; i < kRowsPerStore; ++i) {
      const bool is_in = row + i < row_end;
      terms.scale[i] = Math::kIsScaled && is_in ? p.w_scales[row + i] : 1.0f;
      terms.bias[i] = p.bias != nullptr && is_in ? p.bias[row + i] : 0.0f;
    }
    return terms;
  }

  /// Writes 8 rows of one token.
  __device__ __forceinline__ void store(const Sum* from, const RowTerms& terms, float x_scale,
                                        int row, int row_end, int token) const {
    float y[kRowsPerStore];
#pragma unroll
    for (int i = 0; i < kRowsPerStore; ++i) {
      y[i] = static_cast<float>(from[i]);
      if constexpr (Math::kIsScaled) y[i] = y[i] * terms.scale[i] * x_scale;
      if (p.bias != nullptr) y[i] += terms.bias[i];
    }
    const int64_t to = token * p.y_stride + row;
    if (p.is_fp32) {
      auto* const out = static_cast<float*>(p.y) + to;
      if (p.is_y_aligned_16 && row + kRowsPerStore <= row_end) {
        *reinterpret_cast<float4*>(out) = make_float4(y[0], y[1], y[2], y[3]);
        *reinterpret_cast<float4*>(out + 4) = make_float4(y[4], y[5], y[6], y[7]);
        return;
      }
#pragma unroll
      for (int i = 0; i < kRowsPerStore; ++i)
        if (row + i < row_end) out[i] = y[i];
    } else {
      auto* const out = static_cast<Bf16*>(p.y) + to;
      if (p.is_y_aligned_16 && row + kRowsPerStore <= row_end) {
        *reinterpret_cast<uint4*>(out) = make_uint4(to_bf16x2(y[0], y[1]), to_bf16x2(y[2], y[3]),
                                                    to_bf16x2(y[4], y[5]), to_bf16x2(y[6], y[7]));
        return;
      }
#pragma unroll
      for (int i = 0; i < kRowsPerStore; ++i)
        if (row + i < row_end) out[i] = to_bf16(y[i]);
    }
  }

  /// Turns fragments, whose neighbours are tokens, into rows of y, each warp by itself.
  __device__ __forceinline__ void write(const Sum (&sums)[kProducts][kSums], int row, int token) {
    constexpr int kBlocks = Shape::kStagedTokens / 8;  // of 8 tokens at a time
    constexpr int kTurns = kTokens / Shape::kStagedTokens;
    constexpr int kStride = Shape::kStagedStride;
    Sum* const staging = static_cast<Sum*>(shared.staging(warp));
    const int row_end = min(row + Shape::kRowsPerConsumer, p.num_rows);
    const int my_row = first_row(row);
    const int my_token = token + lane / 2;

    // All that is read from memory is asked for before the first of it is waited for: a wait for
    // each token took up to a tenth of the time of a product of 8192 columns.
    RowTerms terms[kProducts];
    float x_scales[kTurns];
#pragma unroll
    for (int i = 0; i < kProducts; ++i) terms[i] = row_terms(my_row + i * kProductRows, row_end);
#pragma unroll
    for (int turn = 0; turn < kTurns; ++turn) {
      const int t = my_token + turn * Shape::kStagedTokens;
      x_scales[turn] =
          Math::kIsScaled && t < p.num_tokens ? p.x_scales[t * p.x_scales_stride] : 1.0f;
    }

#pragma unroll
    for (int i = 0; i < kProducts; ++i) {
#pragma unroll
      for (int turn = 0; turn < kTurns; ++turn) {
#pragma unroll
        for (int b = 0; b < kBlocks; ++b) {
#pragma unroll
          for (int e = 0; e < 4; ++e)
            staging[(8 * b + lane % 4 * 2 + e % 2) * kStride + lane / 4 + e / 2 * 8] =
                sums[i][4 * (turn * kBlocks + b) + e];
        }
        __syncwarp();
        const int from_row = my_row + i * kProductRows;
        const int from_token = my_token + turn * Shape::kStagedTokens;
        if (lane / 2 < Shape::kStagedTokens && from_token < p.num_tokens && from_row < row_end)
          store(staging + lane / 2 * kStride + lane % 2 * kRowsPerStore, terms[i], x_scales[turn],
                from_row, row_end, from_token);
        __syncwarp();
      }
    }
  }

  __device__ __forceinline__ void run() {
    const TileOrder<kRows, kTokens> order(p);
    for (int tile = static_cast<int>(blockIdx.x); tile < order.count();
         tile += static_cast<int>(gridDim.x)) {
      const auto place = order.place(tile);
      const int row = place.row + consumer * Shape::kRowsPerConsumer;
      if constexpr (Math::kIsScaled) ask_for_row_scales(row);
      Sum sums[kProducts][kSums] = {};
      if constexpr (Math::kPromotes)
        sum_slices(sums, row, place.token);
      else
        sum_chain(sums);
      write(sums, row, place.token);
    }
  }
};

template <typename Math, int kRows, int kTokens>
__global__ void __launch_bounds__(GemmShape<kRows, kTokens>::kThreads,
                                  GemmShape<kRows, kTokens>::kBlocksPerMultiprocessor)
    gemm_kernel(const __grid_constant__ TensorMap w_map, const __grid_constant__ TensorMap x_map,
                const GemmParams p) {
  using Shape = GemmShape<kRows, kTokens>;
  const GemmShared<kRows, kTokens> shared{dynamic_shared()};
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < Shape::kStages; ++stage) {
      init_barrier(shared.full(stage), 1);
      init_barrier(shared.empty(stage), Shape::kConsumerWarps);
    }
    publish_barriers();
  }
  __syncthreads();
  allow_next_kernel();
  if (warp >= Shape::kConsumerWarps) {
    if constexpr (Shape::kMovesRegisters) lower_registers_to<Shape::kProducerRegisters>();
    if (warp == Shape::kConsumerWarps && lane == 0)
      produce<Math, kRows, kTokens>(&w_map, &x_map, p, shared);
  } else {
    if constexpr (Shape::kMovesRegisters) raise_registers_to<Shape::kConsumerRegisters>();
    wait_for_previous_kernel();
    Consumer<Math, kRows, kTokens>{p, shared, warp / 4, warp, lane, {}}.run();
  }
}

}  // namespace veloz::cuda
