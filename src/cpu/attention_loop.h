// SPDX-License-Identifier: Apache-2.0
#pragma once

// The loops of attention besides its products, over the `Lanes`, widen_fp8() and widen_int8() of
// the including file's kv_codes.h.

#include <cstddef>
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

/// Lanes of a vector that `left` elements fill.
int64_t lanes_of(int64_t left) { return left < 16 ? left : 16; }

float reduce_max(Lanes::F a) {
  return Lanes::first_lane(
      reduce(a, [](const Lanes::F& x, const Lanes::F& y) { return Lanes::max(x, y); }));
}

/// 0 where there is no score at all, so that its weights are 0 and not NaN.
float reference_point(float max) { return max == kNoScore ? 0.0f : max; }

void softmax_row(SoftmaxRow& row) {
  const Lanes::F none = Lanes::set1(kNoScore);
  Lanes::F largest = none;
  for (int64_t p = 0; p < row.num_positions; p += 16) {
    Lanes::F scores = Lanes::load(row.scores + p);
    if (row.k_scales != nullptr) scores = Lanes::mul(scores, Lanes::load(row.k_scales + p));
    const bool is_cut = p + 16 > row.num_positions;
    if (is_cut) scores = Lanes::keep_first(scores, row.num_positions - p, none);
    if (is_cut || row.k_scales != nullptr) Lanes::store(row.scores + p, scores);
    largest = Lanes::max(scores, largest);  // passes over NaN, which stays a score
  }
  const Lanes::F scale = Lanes::set1(row.scale);
  row.max = reduce_max(largest) * row.scale;
  const Lanes::F minus_max = Lanes::set1(-reference_point(row.max));
  const char* line = row.prefetch;
  const char* const last = line + row.prefetch_lines * kLine;
  const int64_t lines_of_step =
      (row.prefetch_lines * 16 + row.num_positions - 1) / row.num_positions;
  Lanes::F sums = Lanes::zero();
  for (int64_t p = 0; p < row.num_positions; p += 16) {
    for (int64_t i = 0; i < lines_of_step && line < last; ++i, line += kLine)
      __builtin_prefetch(line);
    Lanes::F weights =
        exp2_of_nonpositive(Lanes::mul_add(Lanes::load(row.scores + p), scale, minus_max));
    sums = Lanes::add(sums, weights);
    if (row.v_scales != nullptr) weights = Lanes::mul(weights, Lanes::load(row.v_scales + p));
    Lanes::store(row.scores + p, weights);
  }
  row.weights = reduce_add(sums);
}

constexpr float kInt16Limit = 32767.0f;

/// The step that fits `largest` to int16, and its inverse, 0 where there is nothing to represent.
float int16_step(float largest) { return largest / kInt16Limit; }
float int16_inverse(float step) { return step > 1e-30f ? 1.0f / step : 0.0f; }

void round_query(IntegerQuery& q) {
  const auto load = [&](int64_t d) {
    return Lanes::load_bf16(static_cast<const char*>(q.query) + 2 * d, lanes_of(q.head_dim - d));
  };
  Lanes::F largest = Lanes::zero();
  Lanes::F nothing = Lanes::zero();  // NaN where an element is not finite
  for (int64_t d = 0; d < q.head_dim; d += 16) {
    const Lanes::F x = load(d);
    largest = Lanes::max(Lanes::abs(x), largest);
    nothing = Lanes::mul_add(x, Lanes::zero(), nothing);
  }
  q.step = int16_step(reduce_max(largest)) + reduce_add(nothing);
  const float inverse = int16_inverse(q.step);
  if (inverse == 0 && q.step == q.step) q.step = 1;  // of all zeros; scores want a scale above 0
  for (int64_t d = 0; d < q.head_dim; d += 16)
    store_int16(static_cast<char*>(q.codes) + 2 * d, Lanes::mul(load(d), Lanes::set1(inverse)));
}

void softmax_integers(IntegerSoftmaxRow& integers) {
  SoftmaxRow& row = integers.row;
  for (int64_t p = 0; p < row.num_positions; p += 16)
    Lanes::store(row.scores + p, Lanes::int_to_fp32(Lanes::load_int(row.scores + p)));
  softmax_row(row);
  Lanes::F largest = Lanes::zero();
  Lanes::F nothing = Lanes::zero();  // NaN where a weight is
  const auto load = [&](int64_t p) {
    return Lanes::keep_first(Lanes::load(row.scores + p), lanes_of(row.num_positions - p),
                             Lanes::zero());
  };
  for (int64_t p = 0; p < row.num_positions; p += 16) {
    const Lanes::F weights = load(p);
    largest = Lanes::max(weights, largest);
    nothing = Lanes::mul_add(weights, Lanes::zero(), nothing);
  }
  integers.step = int16_step(reduce_max(largest)) + reduce_add(nothing);
  const Lanes::F inverse = Lanes::set1(int16_inverse(integers.step));
  auto* const codes = reinterpret_cast<char*>(row.scores);
  int64_t p = 0;
  for (; p < row.num_positions; p += 16)  // codes never overtake the weights they are made of
    store_int16(codes + 2 * p, Lanes::mul(load(p), inverse));
  for (; p < integers.num_weights; p += 16) store_int16(codes + 2 * p, Lanes::zero());
}

void scale_sums(float* sums, int64_t count, float step) {
  for (int64_t d = 0; d < count; d += 16)
    Lanes::store(sums + d,
                 Lanes::mul(Lanes::int_to_fp32(Lanes::load_int(sums + d)), Lanes::set1(step)));
}

float exp2_scalar(float x) { return Lanes::first_lane(exp2_of_nonpositive(Lanes::set1(x))); }

void merge_sums(AttentionSums& into, const AttentionSums& from, int64_t head_dim) {
  const float max = into.max > from.max ? into.max : from.max;
  const float keep = exp2_scalar(into.max - reference_point(max));
  const float take = exp2_scalar(from.max - reference_point(max));
  into.max = max;
  into.weights = into.weights * keep + from.weights * take;
  for (int64_t d = 0; d < head_dim; d += 16) {
    const int64_t count = lanes_of(head_dim - d);
    const Lanes::F kept = Lanes::mul(Lanes::load(into.values + d, count), Lanes::set1(keep));
    const Lanes::F sum =
        Lanes::mul_add(Lanes::load(from.values + d, count), Lanes::set1(take), kept);
    Lanes::store(into.values + d, sum, count);
  }
}

void finish_row(void* y, const AttentionSums& sums, int64_t head_dim, bool is_bf16) {
  const Lanes::F weights = Lanes::set1(sums.weights);
  for (int64_t d = 0; d < head_dim; d += 16) {
    const int64_t count = lanes_of(head_dim - d);
    const Lanes::F mean = Lanes::div(Lanes::load(sums.values + d, count), weights);
    if (is_bf16)
      Lanes::store_bf16(static_cast<char*>(y) + 2 * d, mean, count);
    else
      Lanes::store(static_cast<float*>(y) + d, mean, count);
  }
}

/// `widen` turns kWidenedCodes codes into as many bf16.
template <void (*widen)(const char* codes, char* values)>
void widen_rows(const CodeRows& rows) {
  for (int64_t r = 0; r < rows.num_rows; ++r) {
    const char* const codes = reinterpret_cast<const char*>(rows.codes) + r * rows.stride;
    char* const values = reinterpret_cast<char*>(rows.values) + r * rows.values_stride;
    int64_t done = 0;
    for (; done + kWidenedCodes <= rows.count; done += kWidenedCodes)
      widen(codes + done, values + 2 * done);
    if (done == rows.count) continue;
    char last_codes[kWidenedCodes] = {};
    char last_values[2 * kWidenedCodes];
    const auto left = static_cast<size_t>(rows.count - done);
    __builtin_memcpy(last_codes, codes + done, left);
    widen(last_codes, last_values);
    __builtin_memcpy(values + 2 * done, last_values, 2 * left);
  }
}

constexpr AttentionMicro make_attention_micro(const GemmMicro& scores, const GemmMicro& values,
                                              const GemmMicro& integers) {
  return {.scores = &scores,
          .values = &values,
          .softmax = softmax_row,
          .merge = merge_sums,
          .widen_fp8 = widen_rows<widen_fp8>,
          .widen_int8 = widen_rows<widen_int8>,
          .integers = &integers,
          .round_query = round_query,
          .softmax_integers = softmax_integers,
          .scale_sums = scale_sums,
          .finish = finish_row};
}

}  // namespace
}  // namespace veloz::cpu
