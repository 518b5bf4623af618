// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu/gemm_tile.h"

namespace veloz::cpu {

/// What a stretch of positions gives one row of queries: the largest score, the sum of the weights
/// 2^(score - max), and the sum of weight * v per channel. Scores are in units of log 2.
struct AttentionSums {
  float max;
  float weights;
  float* values;  // [head_dim]
};

/// Turns scores into weights in place.
struct SoftmaxRow {
  float* scores;          // [round_up(num_positions, 16)], q . k
  int64_t num_positions;  // >= 1; what lies beyond is garbage
  float scale;            // > 0, to units of log 2
  float max;              // out
  float weights;          // out: their sum
};

/// The micro-kernels of paged attention for one instruction set and cache dtype.
struct AttentionMicro {
  const GemmMicro* scores;  // x: a row of q; panels: 16 positions of K
  const GemmMicro* values;  // x: a row of weights; panels: 16 channels of V
  void (*softmax)(SoftmaxRow&);
  /// into = into + from, over `head_dim` channels.
  void (*merge)(AttentionSums& into, const AttentionSums& from, int64_t head_dim);
  /// y = values / weights, rounded to bf16 or fp32.
  void (*finish)(void* y, const AttentionSums& sums, int64_t head_dim, bool is_bf16);
};

extern const AttentionMicro kAttentionPortableFp32;
extern const AttentionMicro kAttentionPortableBf16;
extern const AttentionMicro kAttentionAvx2Fp32;
extern const AttentionMicro kAttentionAvx2Bf16;
extern const AttentionMicro kAttentionAvx512Fp32;
extern const AttentionMicro kAttentionAvx512Bf16;
extern const AttentionMicro kAttentionAvx512DotBf16;  // vdpbf16ps for the scores

}  // namespace veloz::cpu
