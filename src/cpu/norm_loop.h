// SPDX-License-Identifier: Apache-2.0
#pragma once

// The norms of one row, over the `Lanes` of the including file.

#include "cpu/row_loop.h"
#include "cpu/row_tile.h"

namespace veloz::cpu {
namespace {

/// Where the input of a norm stands: x itself, or x + delta, which is written to `sum` as it is
/// read.
template <typename Row>
struct PlainInput {
  explicit PlainInput(const NormRow& row) : x(row.x) {}
  template <typename Span>
  Lanes::F first(int64_t i, Span span) const {
    return Row::load(x, i, span);
  }
  template <typename Span>
  Lanes::F again(int64_t i, Span span) const {
    return Row::load(x, i, span);
  }
  const void* x;
};

template <typename Row>
struct ResidualInput {
  explicit ResidualInput(const NormRow& r) : row(r) {}
  template <typename Span>
  Lanes::F first(int64_t i, Span span) const {
    Row::store(row.sum, i, Lanes::add(Row::load(row.x, i, span), Row::load(row.delta, i, span)),
               span);
    return again(i, span);  // rounded
  }
  template <typename Span>
  Lanes::F again(int64_t i, Span span) const {
    return Row::load(row.sum, i, span);
  }
  const NormRow& row;
};

template <typename Row, typename Input>
void rms_norm_input(const NormRow& row, const Input& input) {
  const float squares = sum_row(row.width, [&](const Lanes::F& sum, int64_t i, auto span) {
    const Lanes::F x = input.first(i, span);
    return Lanes::mul_add(x, x, sum);
  });
  const float mean = squares / static_cast<float>(row.width);
  const Lanes::F scale = Lanes::set1(1.0f / __builtin_sqrtf(mean + row.eps));
  for_each_vector(0, row.width, [&](int64_t i, auto span) {
    const Lanes::F scaled = Lanes::mul(input.again(i, span), scale);
    Row::store(row.y, i, Lanes::mul(scaled, Fp32Row::load(row.gamma, i, span)), span);
  });
}

template <typename Row, typename Input>
void layer_norm_input(const NormRow& row, const Input& input) {
  const auto width = static_cast<float>(row.width);
  const float total = sum_row(row.width, [&](const Lanes::F& sum, int64_t i, auto span) {
    return Lanes::add(sum, input.first(i, span));
  });
  const Lanes::F mean = Lanes::set1(total / width);
  const float squares = sum_row(row.width, [&](const Lanes::F& sum, int64_t i, auto span) {
    const Lanes::F off = only(Lanes::sub(input.again(i, span), mean), span);
    return Lanes::mul_add(off, off, sum);
  });
  const Lanes::F scale = Lanes::set1(1.0f / __builtin_sqrtf(squares / width + row.eps));
  for_each_vector(0, row.width, [&](int64_t i, auto span) {
    const Lanes::F scaled = Lanes::mul(Lanes::sub(input.again(i, span), mean), scale);
    Row::store(
        row.y, i,
        Lanes::mul_add(scaled, Fp32Row::load(row.gamma, i, span), Fp32Row::load(row.beta, i, span)),
        span);
  });
}

template <typename Row>
void rms_norm_row(const NormRow& row) {
  if (row.delta == nullptr)
    rms_norm_input<Row>(row, PlainInput<Row>(row));
  else
    rms_norm_input<Row>(row, ResidualInput<Row>(row));
}

template <typename Row>
void layer_norm_row(const NormRow& row) {
  if (row.delta == nullptr)
    layer_norm_input<Row>(row, PlainInput<Row>(row));
  else
    layer_norm_input<Row>(row, ResidualInput<Row>(row));
}

}  // namespace
}  // namespace veloz::cpu
