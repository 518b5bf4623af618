// SPDX-License-Identifier: Apache-2.0
#pragma once

// The loops of attention besides its products, over the `Lanes` of the including file.

#include <cstdint>

#include "cpu/attention_tile.h"
#include "cpu/simd_math.h"

namespace veloz::cpu {
namespace {

constexpr float kNoScore = -__builtin_inff();

/// 2^x for x <= 1 (2 ulp); 0 below -126, so that no denormals arise; NaN stays NaN.
Lanes::F exp2_of_nonpositive(Lanes::F x) {
  constexpr float kOnHalf[] = {0x1p+0f,        0x1.62e43p-1f,   0x1.ebfbdap-3f, 0x1.c6aed4p-5f,
                               0x1.3b2dbcp-7f, 0x1.5f456ap-10f, 0x1.41d32ep-13f};  // [-1/2, 1/2]
  const Lanes::F lowest = Lanes::set1(-126.0f);
  const Lanes::F clamped = Lanes::max(lowest, x);
  const Lanes::F n = Lanes::round(clamped);
  const Lanes::F power = Lanes::scale_by_power(polynomial(Lanes::sub(clamped, n), kOnHalf), n);
  return Lanes::where_less(x, lowest, Lanes::zero(), power);
}

float reduce_max(Lanes::F a) {
  float lanes[16];
  Lanes::store(lanes, a);
  for (int width = 8; width > 0; width /= 2)
    for (int i = 0; i < width; ++i)
      lanes[i] = lanes[i] > lanes[i + width] ? lanes[i] : lanes[i + width];
  return lanes[0];
}

/// 0 where there is no score at all, so that its weights are 0 and not NaN.
float reference_point(float max) { return max == kNoScore ? 0.0f : max; }

void softmax_row(SoftmaxRow& row) {
  const Lanes::F none = Lanes::set1(kNoScore);
  Lanes::F largest = none;
  for (int64_t p = 0; p < row.num_positions; p += 16) {
    Lanes::F scores = Lanes::load(row.scores + p);
    if (p + 16 > row.num_positions) {
      scores = Lanes::keep_first(scores, row.num_positions - p, none);
      Lanes::store(row.scores + p, scores);
    }
    largest = Lanes::max(scores, largest);  // passes over NaN, which stays a score
  }
  const Lanes::F scale = Lanes::set1(row.scale);
  row.max = reduce_max(largest) * row.scale;
  const Lanes::F minus_max = Lanes::set1(-reference_point(row.max));
  Lanes::F sums = Lanes::zero();
  for (int64_t p = 0; p < row.num_positions; p += 16) {
    const Lanes::F weights =
        exp2_of_nonpositive(Lanes::mul_add(Lanes::load(row.scores + p), scale, minus_max));
    Lanes::store(row.scores + p, weights);
    sums = Lanes::add(sums, weights);
  }
  row.weights = reduce_add(sums);
}

float exp2_scalar(float x) {
  float lanes[16];
  Lanes::store(lanes, exp2_of_nonpositive(Lanes::set1(x)));
  return lanes[0];
}

void merge_sums(AttentionSums& into, const AttentionSums& from, int64_t head_dim) {
  const float max = into.max > from.max ? into.max : from.max;
  const float keep = exp2_scalar(into.max - reference_point(max));
  const float take = exp2_scalar(from.max - reference_point(max));
  into.max = max;
  into.weights = into.weights * keep + from.weights * take;
  for (int64_t d = 0; d < head_dim; d += 16) {
    const int64_t count = head_dim - d < 16 ? head_dim - d : 16;
    const Lanes::F kept = Lanes::mul(Lanes::load(into.values + d, count), Lanes::set1(keep));
    const Lanes::F sum =
        Lanes::mul_add(Lanes::load(from.values + d, count), Lanes::set1(take), kept);
    Lanes::store(into.values + d, sum, count);
  }
}

void finish_row(void* y, const AttentionSums& sums, int64_t head_dim, bool is_bf16) {
  const Lanes::F weights = Lanes::set1(sums.weights);
  for (int64_t d = 0; d < head_dim; d += 16) {
    const int64_t count = head_dim - d < 16 ? head_dim - d : 16;
    const Lanes::F mean = Lanes::div(Lanes::load(sums.values + d, count), weights);
    if (is_bf16)
      Lanes::store_bf16(static_cast<char*>(y) + 2 * d, mean, count);
    else
      Lanes::store(static_cast<float*>(y) + d, mean, count);
  }
}

constexpr AttentionMicro make_attention_micro(const GemmMicro& scores, const GemmMicro& values) {
  return {.scores = &scores,
          .values = &values,
          .softmax = softmax_row,
          .merge = merge_sums,
          .finish = finish_row};
}

}  // namespace
}  // namespace veloz::cpu
