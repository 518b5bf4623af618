// SPDX-License-Identifier: Apache-2.0
#include "ops/rope_append.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <vector>

#include "base/error.h"
#include "base/fp8.h"
#include "ops/element.h"
#include "ops/kernel.h"
#include "ops/kv_layout.h"
#include "ops/quantize.h"
#include "ops/shape_rule.h"

namespace veloz::ops {
namespace {

std::vector<ValueType> infer(const OpSignature& signature) {
  const ShapeRule rule("rope_append", signature, {"cache", "qkv", "angles", "slots"},
                       {"num_heads", "num_kv_heads", "head_dim", "style", "k_scale", "v_scale"});
  const int64_t num_heads = rule.int_attr("num_heads", 1, kMaxHeads);
  const int64_t num_kv_heads = rule.int_attr("num_kv_heads", 1, kMaxHeads);
  const int64_t head_dim = even_head_dim(rule);
  rule.choice_attr("style", {"neox", "interleaved"});
  const ValueType& cache = expect_cache(rule, 0, num_kv_heads, head_dim, signature.attrs);
  const ValueType& qkv = rule.expect_matrix(1);
  rule.expect_type(1, {qkv.dtype, {qkv.dims[0], (num_heads + 2 * num_kv_heads) * head_dim}},
                   "(num_heads + 2 * num_kv_heads) * head_dim");
  expect_angles(rule, 2, qkv.dims[0], head_dim);
  rule.expect_type(3, {DType::int64, {qkv.dims[0]}}, "one per row of qkv");
  return {cache, {qkv.dtype, {qkv.dims[0], num_heads * head_dim}}};
}

Cost cost(const OpCall& call) {
  const RopeAppendArgs a = RopeAppendArgs::from(call);
  const auto rotated = static_cast<double>(a.q.x.shape.num_elements() + a.k.x.shape.num_elements());
  double bytes =
      kv_token_bytes(a.append.cache, a.q.y.shape[0]) + static_cast<double>(a.q.y.num_bytes());
  for (const TensorView& read : call.inputs.subspan(1))
    bytes += static_cast<double>(read.num_bytes());
  return {.flops = 3 * rotated, .bytes = bytes};
}

size_t workspace_bytes(const OpCall& call, int) {
  return RopeAppendArgs::from(call).k.x.num_bytes();
}

void reference(OpContext& context, const OpCall& call) noexcept {
  RopeAppendArgs a = RopeAppendArgs::from(call);
  a.k.y = a.append.k = TensorView(context.workspace.data(), a.k.x.dtype, a.k.x.shape);
  rope_reference(a.q);
  rope_reference(a.k);
  kv_append_reference(a.append);
}

/// What lies at an element of a cache of keys.
struct CachedKey {
  int64_t slot;
  int64_t head;
  int64_t channel;                    // of a number or code
  std::optional<int64_t> scale_byte;  // of the row's scale, where it is that
};

/// Nothing for values. `at` counts from the first element of the block.
std::optional<CachedKey> find_key(const KvLayout& layout, int64_t block, int64_t at) {
  if (at >= layout.half_block()) return std::nullopt;
  const int64_t head_elements = layout.block_size * layout.row_extent;
  const int64_t in_head = at % head_elements;
  CachedKey key{.slot = block * layout.block_size,
                .head = at / head_elements,
                .channel = 0,
                .scale_byte = std::nullopt};
  if (const int64_t scales = layout.block_size * layout.head_dim; in_head >= scales) {
    key.slot += (in_head - scales) / kKvScaleBytes;
    key.scale_byte = (in_head - scales) % kKvScaleBytes;
    return key;
  }
  const int64_t group_elements = layout.block_size * layout.group;
  key.slot += in_head % group_elements / layout.group;
  key.channel = in_head / group_elements * layout.group + in_head % layout.group;
  return key;
}

/// The bytes of `scale` are compared one by one. Where a higher one may differ, a lower one may be
/// anything.
double scale_byte_tolerance(float scale, double error, int64_t byte) {
  const auto bits_of = [](double value) {
    const auto rounded = static_cast<float>(value);
    uint32_t bits;
    std::memcpy(&bits, &rounded, sizeof(bits));
    return bits;
  };
  constexpr double kAny = 255;
  const auto shift = static_cast<uint32_t>(8 * byte);
  const uint32_t is = bits_of(scale) >> shift;
  const uint32_t low = bits_of(std::max(scale - error, 0.0)) >> shift;
  const uint32_t high = bits_of(scale + error) >> shift;
  if (!(low <= is && is <= high)) return 0;  // NaN
  if (low >> 8 != high >> 8) return kAny;
  int distance = 0;
  for (uint32_t other = low; other <= high; ++other)
    distance = std::max(distance, std::abs(static_cast<int8_t>(other) - static_cast<int8_t>(is)));
  return distance;
}

/// Of an element of the cache: that of the rotation, and what it becomes in the cache's dtype.
double cached_tolerance(const RopeAppendArgs& a, int64_t block, int64_t at) {
  const TensorView& cache = a.append.cache;
  const KvLayout layout = KvLayout::of(cache);
  const std::optional<CachedKey> key = find_key(layout, block, at);
  if (!key) return 0;
  const auto* const slots = a.append.slots.as<const int64_t>();
  const int64_t num_tokens = a.k.x.shape[0];
  const int64_t t = std::find(slots, slots + num_tokens, key->slot) - slots;
  if (t == num_tokens) return 0;
  // A code of int8 moves with its scale.
  if (key->channel >= a.k.angles.shape[1] && cache.dtype != DType::int8) return 0;
  const int64_t first = key->head * layout.head_dim;
  const auto rotated = [&](int64_t channel, double magnitude) {
    return rotation_tolerance(a.k, a.k.x, t, first + channel, magnitude);
  };

  const int64_t index = block * 2 * layout.half_block() + at;
  if (cache.dtype == DType::fp32 || cache.dtype == DType::bf16) {
    const double magnitude = std::abs(cache.dtype == DType::fp32
                                          ? cache.as<const float>()[index]
                                          : static_cast<float>(cache.as<const BFloat16>()[index]));
    const double rounding = cache.dtype == a.k.x.dtype ? 0 : 2 * unit_roundoff(cache.dtype);
    return rotated(key->channel, magnitude) + rounding * magnitude;
  }
  float scale = a.append.k_scale;
  QuantizeArgs row;
  row.scale = scale;
  if (cache.dtype == DType::int8) {
    std::memcpy(&scale, cache.as<const std::byte>() + layout.k_scale_index(key->slot, key->head),
                sizeof(scale));
    row.scale.reset();
  }
  row.scales = TensorView(&scale, DType::fp32, {1, 1});
  // One code, or all that share the scale.
  const bool is_code = !key->scale_byte;
  row.codes =
      TensorView(cache.as<std::byte>() + index, cache.dtype, {1, is_code ? 1 : layout.head_dim});
  const double tolerance =
      quantized_tolerance(row, a.k.x.dtype, is_code, 0, 0, [&](int64_t channel, double magnitude) {
        return rotated(is_code ? key->channel : channel, magnitude);
      });
  return is_code ? tolerance : scale_byte_tolerance(scale, tolerance, *key->scale_byte);
}

double tolerance(const OpCall& call, size_t output, int64_t row, int64_t column) {
  const RopeAppendArgs a = RopeAppendArgs::from(call);
  return output == 0 ? cached_tolerance(a, row, column) : rope_tolerance(a.q, row, column);
}

}  // namespace

RopeAppendArgs RopeAppendArgs::from(const OpCall& call) {
  VELOZ_DCHECK(call.inputs.size() == 4 && call.outputs.size() == 2, "rope_append of {} operands",
               call.inputs.size());
  const TensorView& qkv = call.inputs[1];
  const TensorView& angles = call.inputs[2];
  const int64_t head_dim = call.attrs.get_int("head_dim");
  const int64_t num_heads = call.attrs.get_int("num_heads");
  const int64_t num_kv_heads = call.attrs.get_int("num_kv_heads");
  const auto heads = [&](int64_t begin, int64_t count) {
    TensorView columns(nullptr, qkv.dtype, {qkv.shape[0], count * head_dim}, qkv.row_stride);
    if (qkv.data != nullptr)
      columns.data =
          qkv.as<std::byte>() + static_cast<size_t>(begin * head_dim) * dtype_bytes(qkv.dtype);
    return columns;
  };
  const RopeStyle style = rope_style(call);
  return {.q = {.x = heads(0, num_heads),
                .angles = angles,
                .y = call.outputs[1],
                .num_heads = num_heads,
                .head_dim = head_dim,
                .style = style},
          .k = {.x = heads(num_heads, num_kv_heads),
                .angles = angles,
                .y = {},
                .num_heads = num_kv_heads,
                .head_dim = head_dim,
                .style = style},
          .append = {.cache = call.outputs[0],
                     .k = {},
                     .v = heads(num_heads + num_kv_heads, num_kv_heads),
                     .slots = call.inputs[3],
                     .k_scale = kv_scale(call, "k_scale"),
                     .v_scale = kv_scale(call, "v_scale")}};
}

OpDef rope_append_def() {
  return {.op = Op::rope_append,
          .name = "rope_append",
          .infer = infer,
          .cost = cost,
          .reference = reference,
          .tolerance = tolerance,
          .workspace_bytes = workspace_bytes,
          .threads_state = true};
}

}  // namespace veloz::ops
