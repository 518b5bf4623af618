// SPDX-License-Identifier: Apache-2.0
#include "cpu/rows.h"

#include <cstring>

#include "base/numeric.h"
#include "cpu/kv_convert.h"
#include "cpu/parallel.h"
#include "cpu/row_copies.h"
#include "cpu/row_of.h"
#include "ops/kv_layout.h"

namespace veloz::cpu {
namespace {

const RowMicro& micro_of(const RowMicros& micros, DType dtype) {
  return dtype == DType::bf16 ? micros.bf16 : micros.fp32;
}

/// Codes and scales of row `t` from its numbers at `x`.
void quantize_row(const RowMicro& micro, const std::byte* x, DType dtype,
                  const ops::QuantizeArgs& a, int64_t t) {
  const auto run = a.codes.dtype == DType::int8 ? micro.quantize_int8 : micro.quantize_fp8;
  const int64_t group_bytes = a.group() * static_cast<int64_t>(dtype_bytes(dtype));
  for (int64_t g = 0; g < a.num_groups(); ++g) {
    const std::byte* const group = x + g * group_bytes;
    uint8_t* const codes = a.codes.row<uint8_t>(t) + g * a.group();
    const ops::GroupScale scale = a.scale_of(micro.largest(group, a.group()));
    a.scales.row<float>(t)[g] = scale.scale;
    if (scale.inverse == 0)
      std::memset(codes, 0, static_cast<size_t>(a.group()));
    else
      run({.x = group, .codes = codes, .width = a.group(), .inverse = scale.inverse});
  }
}

/// Row t of rope, into `y`.
void rotate_row(const RowMicros& micros, const ops::RopeArgs& a, int64_t t, std::byte* y) {
  const RowMicro& micro = micro_of(micros, a.x.dtype);
  const auto run =
      a.style == ops::RopeStyle::interleaved ? micro.rope_interleaved : micro.rope_neox;
  const int64_t rotary_dim = a.angles.shape[1];
  run({.x = row_of(a.x, t),
       .cosines = a.angles.row<const float>(t),
       .sines = a.angles.row<const float>(t) + rotary_dim / 2,
       .y = y,
       .num_heads = a.num_heads,
       .head_dim = a.head_dim,
       .rotary_dim = rotary_dim});
}

size_t scratch_row_bytes(const TensorView& x) {
  constexpr size_t kAlignment = 64;
  return round_up(static_cast<size_t>(x.shape[1]) * dtype_bytes(x.dtype), kAlignment);
}

/// Calls run(t, row of y) for each row of x, the row of y being scratch where y is quantized: it is
/// still in the first-level cache when it becomes codes.
template <typename Args, typename F>
void for_each_output_row(ops::OpContext& context, const Args& a, const RowMicro& micro,
                         const F& run) {
  if (!a.quantized) {
    for_each_row(*context.pool, a.x.shape[0], a.x.shape[1],
                 [&](int64_t t) { run(t, row_of(a.y, t)); });
    return;
  }
  for_each_row_of_thread(*context.pool, a.x.shape[0], a.x.shape[1], [&](int thread_idx, int64_t t) {
    std::byte* const y =
        context.workspace.data() + static_cast<size_t>(thread_idx) * scratch_row_bytes(a.x);
    run(t, y);
    quantize_row(micro, y, a.x.dtype, *a.quantized, t);
  });
}

template <typename Args>
void norm(ops::OpContext& context, const Args& a, const RowMicro& micro,
          void (*run)(const NormRow&), const float* beta) {
  for_each_output_row(context, a, micro, [&](int64_t t, std::byte* y) {
    run({.x = row_of(a.x, t),
         .delta = row_of(a.delta, t),
         .sum = row_of(a.sum, t),
         .gamma = a.gamma.template as<const float>(),
         .beta = beta,
         .y = y,
         .width = a.x.shape[1],
         .eps = a.eps});
  });
}

}  // namespace

size_t rows_workspace_bytes(const ops::OpCall& call, int num_threads) {
  return call.attrs.contains("quantize")
             ? static_cast<size_t>(num_threads) * scratch_row_bytes(call.inputs[0])
             : 0;
}

void rms_norm(ops::OpContext& context, const ops::RmsNormArgs& a,
              const RowMicros& micros) noexcept {
  const RowMicro& micro = micro_of(micros, a.x.dtype);
  norm(context, a, micro, micro.rms_norm, nullptr);
}

void layer_norm(ops::OpContext& context, const ops::LayerNormArgs& a,
                const RowMicros& micros) noexcept {
  const RowMicro& micro = micro_of(micros, a.x.dtype);
  norm(context, a, micro, micro.layer_norm, a.beta.as<const float>());
}

void add(ops::OpContext& context, const ops::AddArgs& a, const RowMicros& micros) noexcept {
  const auto run = micro_of(micros, a.y.dtype).add;
  for_each_row(*context.pool, a.y.shape[0], a.y.shape[1], [&](int64_t t) {
    run({.a = row_of(a.a, t), .b = row_of(a.b, t), .y = row_of(a.y, t), .width = a.y.shape[1]});
  });
}

void act(ops::OpContext& context, const ops::ActArgs& a, const RowMicros& micros) noexcept {
  const RowMicro& micro = micro_of(micros, a.x.dtype);
  const auto activation = static_cast<size_t>(a.activation);
  const auto run = a.up.data == nullptr ? micro.act[activation] : micro.gated_act[activation];
  for_each_output_row(context, a, micro, [&](int64_t t, std::byte* y) {
    run({.x = row_of(a.x, t), .up = row_of(a.up, t), .y = y, .width = a.x.shape[1]});
  });
}

void rope(ops::OpContext& context, const ops::RopeArgs& a, const RowMicros& micros) noexcept {
  for_each_row(*context.pool, a.y.shape[0], a.y.shape[1],
               [&](int64_t t) { rotate_row(micros, a, t, row_of(a.y, t)); });
}

size_t rope_append_workspace_bytes(const ops::OpCall& call, int num_threads) {
  return static_cast<size_t>(num_threads) * scratch_row_bytes(ops::RopeAppendArgs::from(call).k.x);
}

void rope_append(ops::OpContext& context, const ops::RopeAppendArgs& a,
                 const RowMicros& micros) noexcept {
  const TensorView& k = a.k.x;
  const ops::KvLayout layout = ops::KvLayout::of(a.append.cache);
  const auto append_row = a.append.cache.dtype == k.dtype ? copy_kv_row : convert_kv_row;
  const int64_t width = a.q.x.shape[1] + 2 * k.shape[1];
  for_each_row_of_thread(*context.pool, k.shape[0], width, [&](int thread_idx, int64_t t) {
    rotate_row(micros, a.q, t, row_of(a.q.y, t));
    std::byte* const rotated =
        context.workspace.data() + static_cast<size_t>(thread_idx) * scratch_row_bytes(k);
    rotate_row(micros, a.k, t, rotated);
    ops::KvAppendArgs append = a.append;
    constexpr int64_t kSameRow = 0;  // whatever the token, its k is in the scratch row
    append.k = TensorView(rotated, k.dtype, k.shape, kSameRow);
    append_row(append, layout, t);
  });
}

void quantize(ops::OpContext& context, const ops::QuantizeArgs& a,
              const RowMicros& micros) noexcept {
  const RowMicro& micro = micro_of(micros, a.x.dtype);
  for_each_row(*context.pool, a.x.shape[0], a.x.shape[1],
               [&](int64_t t) { quantize_row(micro, row_of(a.x, t), a.x.dtype, a, t); });
}

}  // namespace veloz::cpu
