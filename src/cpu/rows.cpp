// SPDX-License-Identifier: Apache-2.0
#include "cpu/rows.h"

#include "cpu/parallel.h"
#include "cpu/row_of.h"

namespace veloz::cpu {
namespace {

const RowMicro& micro_of(const RowMicros& micros, DType dtype) {
  return dtype == DType::bf16 ? micros.bf16 : micros.fp32;
}

}  // namespace

void rms_norm(ops::OpContext& context, const ops::RmsNormArgs& a,
              const RowMicros& micros) noexcept {
  const auto run = micro_of(micros, a.x.dtype).rms_norm;
  for_each_row(*context.pool, a.x.shape[0], a.x.shape[1], [&](int64_t t) {
    run({.x = row_of(a.x, t),
         .delta = row_of(a.delta, t),
         .sum = row_of(a.sum, t),
         .gamma = a.gamma.as<const float>(),
         .beta = nullptr,
         .y = row_of(a.y, t),
         .width = a.x.shape[1],
         .eps = a.eps});
  });
}

void layer_norm(ops::OpContext& context, const ops::LayerNormArgs& a,
                const RowMicros& micros) noexcept {
  const auto run = micro_of(micros, a.x.dtype).layer_norm;
  for_each_row(*context.pool, a.x.shape[0], a.x.shape[1], [&](int64_t t) {
    run({.x = row_of(a.x, t),
         .delta = row_of(a.delta, t),
         .sum = row_of(a.sum, t),
         .gamma = a.gamma.as<const float>(),
         .beta = a.beta.as<const float>(),
         .y = row_of(a.y, t),
         .width = a.x.shape[1],
         .eps = a.eps});
  });
}

void add(ops::OpContext& context, const ops::AddArgs& a, const RowMicros& micros) noexcept {
  const auto run = micro_of(micros, a.y.dtype).add;
  for_each_row(*context.pool, a.y.shape[0], a.y.shape[1], [&](int64_t t) {
    run({.a = row_of(a.a, t), .b = row_of(a.b, t), .y = row_of(a.y, t), .width = a.y.shape[1]});
  });
}

void act(ops::OpContext& context, const ops::ActArgs& a, const RowMicros& micros) noexcept {
  const RowMicro& micro = micro_of(micros, a.y.dtype);
  const auto activation = static_cast<size_t>(a.activation);
  const auto run = a.up.data == nullptr ? micro.act[activation] : micro.gated_act[activation];
  for_each_row(*context.pool, a.y.shape[0], a.y.shape[1], [&](int64_t t) {
    run({.x = row_of(a.x, t), .up = row_of(a.up, t), .y = row_of(a.y, t), .width = a.y.shape[1]});
  });
}

void rope(ops::OpContext& context, const ops::RopeArgs& a, const RowMicros& micros) noexcept {
  const RowMicro& micro = micro_of(micros, a.y.dtype);
  const auto run =
      a.style == ops::RopeStyle::interleaved ? micro.rope_interleaved : micro.rope_neox;
  const int64_t rotary_dim = a.angles.shape[1];
  for_each_row(*context.pool, a.y.shape[0], a.y.shape[1], [&](int64_t t) {
    run({.x = row_of(a.x, t),
         .cosines = a.angles.row<const float>(t),
         .sines = a.angles.row<const float>(t) + rotary_dim / 2,
         .y = row_of(a.y, t),
         .num_heads = a.num_heads,
         .head_dim = a.head_dim,
         .rotary_dim = rotary_dim});
  });
}

}  // namespace veloz::cpu
