// SPDX-License-Identifier: Apache-2.0
#include "cpu/kv_convert.h"

#include <cstring>

#include "base/error.h"
#include "cpu/parallel.h"
#include "ops/element.h"
#include "ops/kv_layout.h"
#include "ops/quantize.h"

namespace veloz::cpu {
namespace {

using ops::KvLayout;

/// One head of one row of k or v, and where it goes.
struct HeadRow {
  const TensorView& x;
  int64_t t;
  int64_t begin;         // its first column
  int64_t first;         // index in the cache of its first channel
  int64_t group;         // channels that stand side by side
  int64_t group_stride;  // elements from group to group
};

template <typename Element, typename Convert>
void store_channels(const TensorView& cache, const HeadRow& row, int64_t head_dim,
                    const Convert& convert) {
  Element* to = cache.as<Element>() + row.first;
  for (int64_t d = 0; d < head_dim; d += row.group, to += row.group_stride)
    for (int64_t i = 0; i < row.group; ++i)
      to[i] = convert(ops::load_element(row.x, row.t, row.begin + d + i));
}

void store_head(const TensorView& cache, const HeadRow& row, int64_t head_dim, float fixed_scale,
                int64_t scale_index) {
  if (cache.dtype == DType::fp32)
    return store_channels<float>(cache, row, head_dim, [](float x) { return x; });
  if (cache.dtype == DType::bf16)
    return store_channels<BFloat16>(cache, row, head_dim, [](float x) { return BFloat16(x); });
  float inverse = 1.0f / fixed_scale;
  if (cache.dtype == DType::int8) {
    const ops::GroupScale scale = ops::group_scale(
        ops::largest_magnitude(row.x, row.t, row.begin, row.begin + head_dim), ops::kInt8Limit);
    std::memcpy(cache.as<std::byte>() + scale_index, &scale.scale, sizeof(scale.scale));
    inverse = scale.inverse;
    if (inverse == 0)
      return store_channels<uint8_t>(cache, row, head_dim, [](float) { return uint8_t{0}; });
  }
  store_channels<uint8_t>(cache, row, head_dim,
                          [&](float x) { return ops::quantize_value(x, inverse, cache.dtype); });
}

}  // namespace

void convert_kv_row(const ops::KvAppendArgs& a, const KvLayout& layout, int64_t t) {
  const int64_t head_dim = layout.head_dim;
  const int64_t slot = a.slots.as<const int64_t>()[t];
  VELOZ_DCHECK(slot >= 0 && slot < layout.num_blocks * layout.block_size, "slot {}", slot);
  for (int64_t head = 0; head < layout.num_kv_heads; ++head) {
    store_head(a.cache,
               {.x = a.k,
                .t = t,
                .begin = head * head_dim,
                .first = layout.k_index(slot, head, 0),
                .group = layout.group,
                .group_stride = layout.block_size * layout.group},
               head_dim, a.k_scale, layout.k_scale_index(slot, head));
    store_head(a.cache,
               {.x = a.v,
                .t = t,
                .begin = head * head_dim,
                .first = layout.v_index(slot, head, 0),
                .group = 1,
                .group_stride = layout.v_group},
               head_dim, a.v_scale, layout.v_scale_index(slot, head));
  }
}

void convert_and_append(ops::OpContext& context, const ops::KvAppendArgs& a) noexcept {
  const KvLayout layout = KvLayout::of(a.cache);
  for_each_row(*context.pool, a.k.shape[0], a.k.shape[1],
               [&](int64_t t) { convert_kv_row(a, layout, t); });
}

}  // namespace veloz::cpu
