// SPDX-License-Identifier: Apache-2.0
#pragma once

// All row loops of an instruction set, over the `Lanes` of the including file.

#include "cpu/activation_loop.h"
#include "cpu/norm_loop.h"
#include "cpu/quantize_loop.h"
#include "cpu/rope_loop.h"
#include "cpu/row_loop.h"
#include "cpu/row_tile.h"

namespace veloz::cpu {
namespace {

template <typename Row>
void add_row(const AddRow& row) {
  for_each_vector(0, row.width, [&](int64_t i, auto span) {
    Row::store(row.y, i, Lanes::add(Row::load(row.a, i, span), Row::load(row.b, i, span)), span);
  });
}

template <typename Row>
constexpr RowMicro make_row_micro() {
  return {
      .rms_norm = rms_norm_row<Row>,
      .layer_norm = layer_norm_row<Row>,
      .add = add_row<Row>,
      .act = {act_row<Row, silu>, act_row<Row, gelu>, act_row<Row, gelu_tanh>, act_row<Row, relu>},
      .gated_act = {gated_act_row<Row, silu>, gated_act_row<Row, gelu>,
                    gated_act_row<Row, gelu_tanh>, gated_act_row<Row, relu>},
      .rope_neox = rope_row<Row, rotate_neox<Row>>,
      .rope_interleaved = rope_row<Row, rotate_interleaved<Row>>,
      .largest = largest_of_row<Row>,
      .quantize_int8 = quantize_row<Row, int8_codes>,
      .quantize_fp8 = quantize_row<Row, fp8_codes>};
}

constexpr RowMicros make_row_micros() {
  return {.fp32 = make_row_micro<Fp32Row>(), .bf16 = make_row_micro<Bf16Row>()};
}

}  // namespace
}  // namespace veloz::cpu
