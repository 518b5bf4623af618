// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu/gemm_tile.h"

namespace veloz::cpu {

inline constexpr int64_t kLine = 64;  // bytes of the caches

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
  // Per position, or null; what lies beyond num_positions may be read. Scores are multiplied by the
  // first before all else, weights by the second when they were added up.
  const float* k_scales;
  const float* v_scales;
  const char* prefetch;    // lines that are read later; memory would rest meanwhile
  int64_t prefetch_lines;  // may be 0
  float max;               // out
  float weights;           // out: their sum
};

/// The same on int32 scores; weights become multiples of `step`, int16 in the place of the scores.
struct IntegerSoftmaxRow {
  SoftmaxRow row;
  int64_t num_weights;  // >= num_positions: those beyond are 0
  float step;           // out; NaN where a weight is
};

/// A query as multiples of a step of its own, which is NaN where an element is not finite.
struct IntegerQuery {
  const void* query;  // bf16 [head_dim]
  int64_t head_dim;
  void* codes;  // int16 [round_up(head_dim, 16)]
  float step;   // out
};

/// Rows of codes of a cache on their way to bf16, which holds every one exactly.
struct CodeRows {
  const std::byte* codes;
  ptrdiff_t stride;  // bytes from row to row
  std::byte* values;
  ptrdiff_t values_stride;
  int64_t num_rows;
  int64_t count;  // codes of a row
};

/// The micro-kernels of paged attention for one instruction set and pair of dtypes.
struct AttentionMicro {
  const GemmMicro* scores;  // x: a row of q, widened where it says so; panels: 16 positions of K
  const GemmMicro* values;  // x: a row of weights; panels: 16 channels of V
  void (*softmax)(SoftmaxRow&);
  /// into = into + from, over `head_dim` channels.
  void (*merge)(AttentionSums& into, const AttentionSums& from, int64_t head_dim);
  void (*widen_fp8)(const CodeRows&);
  void (*widen_int8)(const CodeRows&);
  // For queries in bf16 and an int8 cache, whose products are integers.
  const GemmMicro* integers;
  void (*round_query)(IntegerQuery&);
  void (*softmax_integers)(IntegerSoftmaxRow&);
  /// int32 sums to fp32 multiples of `step`, in place.
  void (*scale_sums)(float* sums, int64_t count, float step);
  /// y = values / weights, rounded to bf16 or fp32.
  void (*finish)(void* y, const AttentionSums& sums, int64_t head_dim, bool is_bf16);
};

// q, K and V in fp32; in bf16; q in fp32 with K and V in bf16.
extern const AttentionMicro kAttentionPortableFp32;
extern const AttentionMicro kAttentionPortableBf16;
extern const AttentionMicro kAttentionPortableFp32ByBf16;
extern const AttentionMicro kAttentionAvx2Fp32;
extern const AttentionMicro kAttentionAvx2Bf16;
extern const AttentionMicro kAttentionAvx2Fp32ByBf16;
extern const AttentionMicro kAttentionAvx512Fp32;
extern const AttentionMicro kAttentionAvx512Bf16;
extern const AttentionMicro kAttentionAvx512Fp32ByBf16;
extern const AttentionMicro kAttentionAvx512VnniBf16;  // vpdpwssd for int8 caches
extern const AttentionMicro kAttentionAvx512DotBf16;   // likewise, and vdpbf16ps for the scores

}  // namespace veloz::cpu
