// SPDX-License-Identifier: Apache-2.0
#include "ops/attention.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/fp8.h"
#include "ops/element.h"
#include "ops/kv_layout.h"
#include "ops/quantize.h"
#include "ops/shape_rule.h"

namespace veloz::ops {
namespace {

std::vector<ValueType> infer_kv_append(const OpSignature& signature) {
  const ShapeRule rule("kv_append", signature, {"cache", "k", "v", "slots"},
                       {"num_kv_heads", "head_dim", "k_scale", "v_scale"});
  const int64_t num_kv_heads = rule.int_attr("num_kv_heads", 1, kMaxHeads);
  const int64_t head_dim = even_head_dim(rule);
  const ValueType& cache = expect_cache(rule, 0, num_kv_heads, head_dim, signature.attrs);
  const ValueType& k = rule.expect_matrix(1);
  rule.expect_type(1, {k.dtype, {k.dims[0], num_kv_heads * head_dim}}, "num_kv_heads * head_dim");
  rule.expect_type(2, k, "as k");
  rule.expect_type(3, {DType::int64, {k.dims[0]}}, "one per row of k");
  return {cache};
}

Cost kv_append_cost(const OpCall& call) {
  const KvAppendArgs a = KvAppendArgs::from(call);
  return {.flops = 0,
          .bytes = kv_token_bytes(a.cache, a.k.shape[0]) +
                   static_cast<double>(2 * a.k.num_bytes() + call.inputs[3].num_bytes())};
}

/// One head of one row of k or v on its way into the cache.
struct HeadRow {
  const TensorView& x;
  int64_t t;
  int64_t begin;  // its first column
  int64_t head_dim;

  float at(int64_t d) const { return load_element(x, t, begin + d); }
};

/// `index_of(d)` is where channel d goes, `scale_index` where the scale of an int8 row does.
template <typename IndexOf>
void store_head(const TensorView& cache, const HeadRow& row, float fixed_scale,
                const IndexOf& index_of, int64_t scale_index) {
  float inverse = 1.0f / fixed_scale;
  if (cache.dtype == DType::int8) {
    const GroupScale scale = group_scale(
        largest_magnitude(row.x, row.t, row.begin, row.begin + row.head_dim), kInt8Limit);
    std::memcpy(cache.as<std::byte>() + scale_index, &scale.scale, sizeof(scale.scale));
    inverse = scale.inverse;
  }
  for (int64_t d = 0; d < row.head_dim; ++d) {
    const int64_t index = index_of(d);
    if (cache.dtype == DType::fp32)
      cache.as<float>()[index] = row.at(d);
    else if (cache.dtype == DType::bf16)
      cache.as<BFloat16>()[index] = BFloat16(row.at(d));
    else
      cache.as<uint8_t>()[index] =
          inverse == 0 ? uint8_t{0} : quantize_value(row.at(d), inverse, cache.dtype);
  }
}

void run_kv_append_reference(OpContext&, const OpCall& call) noexcept {
  kv_append_reference(KvAppendArgs::from(call));
}

/// What the cache holds, as attention sees it.
struct CacheReader {
  const PagedAttentionArgs& a;
  KvLayout layout;

  double k(int64_t slot, int64_t kv_head, int64_t d) const {
    return element(layout.k_index(slot, kv_head, d)) *
           scale(a.k_scale, layout.k_scale_index(slot, kv_head));
  }
  double v(int64_t slot, int64_t kv_head, int64_t d) const {
    return element(layout.v_index(slot, kv_head, d)) * v_scale(slot, kv_head);
  }
  double v_scale(int64_t slot, int64_t kv_head) const {
    return scale(a.v_scale, layout.v_scale_index(slot, kv_head));
  }

 private:
  double element(int64_t index) const {
    if (a.cache.dtype == DType::fp32) return a.cache.as<const float>()[index];
    if (a.cache.dtype == DType::bf16)
      return static_cast<float>(a.cache.as<const BFloat16>()[index]);
    if (a.cache.dtype == DType::int8) return a.cache.as<const int8_t>()[index];
    return static_cast<float>(a.cache.as<const Fp8E4M3>()[index]);
  }
  double scale(float fixed, int64_t index) const {
    if (a.cache.dtype != DType::int8) return fixed;
    float scale;
    std::memcpy(&scale, a.cache.as<const std::byte>() + index, sizeof(scale));
    return scale;
  }
};

std::vector<ValueType> infer_paged_attention(const OpSignature& signature) {
  const ShapeRule rule("paged_attention", signature,
                       {"q", "cache", "q_starts", "q_lens", "kv_lens", "block_tables"},
                       {"num_heads", "num_kv_heads", "head_dim", "scale", "k_scale", "v_scale"});
  const int64_t num_heads = rule.int_attr("num_heads", 1, kMaxHeads);
  const int64_t num_kv_heads = rule.int_attr("num_kv_heads", 1, num_heads);
  const int64_t head_dim = even_head_dim(rule);
  if (num_heads % num_kv_heads != 0)
    rule.fail("attribute num_heads is no multiple of num_kv_heads");
  rule.positive_attr("scale");
  const ValueType& q = rule.expect_matrix(0);
  expect_cache(rule, 1, num_kv_heads, head_dim, signature.attrs);
  rule.expect_type(0, {q.dtype, {q.dims[0], num_heads * head_dim}}, "num_heads * head_dim");
  const ValueType& q_starts = rule.expect_vector(2, DType::int32);
  rule.expect_type(3, q_starts, "as q_starts");
  rule.expect_type(4, q_starts, "as q_starts");
  const ValueType& tables = rule.type(5);
  if (tables.dims.size() != 2) rule.fail_operand(5, "int32 [S, B]");
  if (tables.dims[1].is_constant()) rule.constant_extent(5, 1);
  rule.expect_type(5, {DType::int32, {q_starts.dims[0], tables.dims[1]}}, "one row per sequence");
  return {q};
}

/// `num_seen`: positions that each row sees, of all rows; `num_read`: of all sequences.
Cost attention_cost(const PagedAttentionArgs& a, double num_seen, double num_read) {
  return {
      .flops = 4 * num_seen * static_cast<double>(a.num_heads * a.head_dim),
      .bytes = num_read * kv_token_bytes(a.cache, 1) + 2 * static_cast<double>(a.q.num_bytes())};
}

/// From shapes alone, as kv_lens may lie on a device: every sequence is as long as its block table
/// can hold, and this step's rows are its last ones.
Cost longest_attention_cost(const OpCall& call) {
  const PagedAttentionArgs a = PagedAttentionArgs::from(call);
  const double num_tokens = static_cast<double>(a.q.shape[0]);
  const double num_seqs = static_cast<double>(a.block_tables.shape[0]);
  if (num_seqs == 0) return {};
  const double kv_len = static_cast<double>(a.block_tables.shape[1] * a.cache.shape[3]);
  const double visible = std::max(kv_len - (num_tokens / num_seqs - 1) / 2, 0.0);
  return attention_cost(a, num_tokens * visible, num_seqs * kv_len);
}

/// One q row of one head and the cached positions it sees.
struct AttentionRow {
  const PagedAttentionArgs& a;
  CacheReader cache;
  int64_t sequence;
  int64_t row;       // of q and y
  int64_t head;      // of q
  int64_t num_seen;  // positions 0 ... num_seen - 1

  int64_t kv_head() const { return head / (a.num_heads / a.num_kv_heads); }
  int64_t slot(int64_t position) const {
    const int64_t block_size = cache.layout.block_size;
    const int64_t entry = sequence * a.block_tables.row_stride + position / block_size;
    return a.block_tables.as<const int32_t>()[entry] * block_size + position % block_size;
  }
  double score(int64_t position) const {
    double sum = 0;
    for (int64_t d = 0; d < a.head_dim; ++d) sum += q(d) * k(position, d);
    return sum * a.scale;
  }
  double q(int64_t d) const { return load_element(a.q, row, head * a.head_dim + d); }
  double k(int64_t position, int64_t d) const { return cache.k(slot(position), kv_head(), d); }
  double v(int64_t position, int64_t d) const { return cache.v(slot(position), kv_head(), d); }
  double v_scale(int64_t position) const { return cache.v_scale(slot(position), kv_head()); }
  double max_score() const {
    double largest = -std::numeric_limits<double>::infinity();
    for (int64_t p = 0; p < num_seen; ++p) largest = std::max(largest, score(p));
    return largest;
  }
};

/// Calls f(AttentionRow) for each row of each head.
template <typename F>
void for_each_attention_row(const PagedAttentionArgs& a, const F& f) {
  const CacheReader cache{a, KvLayout::of(a.cache)};
  for (int64_t s = 0; s < a.q_starts.shape[0]; ++s) {
    const int64_t q_len = a.q_lens.as<const int32_t>()[s];
    const int64_t kv_len = a.kv_lens.as<const int32_t>()[s];
    for (int64_t i = 0; i < q_len; ++i)
      for (int64_t head = 0; head < a.num_heads; ++head)
        f(AttentionRow{.a = a,
                       .cache = cache,
                       .sequence = s,
                       .row = a.q_starts.as<const int32_t>()[s] + i,
                       .head = head,
                       .num_seen = kv_len - q_len + i + 1});
  }
}

/// softmax(q k^T scale) v over the positions seen. The outputs of a head gather in a fixed array,
/// a slice of channels at a time.
void paged_attention_reference(OpContext&, const OpCall& call) noexcept {
  constexpr int64_t kChannels = 256;
  const PagedAttentionArgs a = PagedAttentionArgs::from(call);
  for_each_attention_row(a, [&](const AttentionRow& r) {
    const double largest = r.max_score();
    for (int64_t begin = 0; begin < a.head_dim; begin += kChannels) {
      const int64_t count = std::min(kChannels, a.head_dim - begin);
      double weights = 0;
      double sums[kChannels] = {};
      for (int64_t p = 0; p < r.num_seen; ++p) {
        const double weight = std::exp(r.score(p) - largest);
        weights += weight;
        for (int64_t d = 0; d < count; ++d) sums[d] += weight * r.v(p, begin + d);
      }
      for (int64_t d = 0; d < count; ++d)
        store_element(a.y, r.row, r.head * a.head_dim + begin + d,
                      static_cast<float>(sums[d] / weights));
    }
  });
}

/// Scores are fp32 sums of head_dim products, weights their exponentials, both with a relative
/// error; where q is bf16 a kernel may round the weights to bf16 before they meet v. Scales of a
/// quantized cache may multiply sums instead of elements, which the factors cover. With q in bf16
/// and a cache of int8 a kernel may take q and the weights (times their value's scale) as 16-bit
/// multiples of the largest of the head, or of the positions.
double paged_attention_tolerance(const OpCall& call, size_t, int64_t row, int64_t column) {
  const PagedAttentionArgs a = PagedAttentionArgs::from(call);
  const double u = unit_roundoff(DType::fp32);
  const double half_step = a.cache.dtype == DType::int8 && a.q.dtype == DType::bf16
                               ? 0.5 / std::numeric_limits<int16_t>::max()
                               : 0.0;
  double bound = 0;
  for_each_attention_row(a, [&](const AttentionRow& r) {
    if (r.row != row || r.head != column / a.head_dim) return;
    const double largest = r.max_score();
    double largest_q = 0;
    for (int64_t d = 0; d < a.head_dim; ++d) largest_q = std::max(largest_q, std::abs(r.q(d)));
    double weights = 0, magnitude = 0, largest_terms = 0, largest_keys = 0;
    double codes = 0, largest_weight = 0;  // weight: with the scale of its value
    for (int64_t p = 0; p < r.num_seen; ++p) {
      const double weight = std::exp(r.score(p) - largest);
      const double v = std::abs(r.v(p, column % a.head_dim));
      weights += weight;
      magnitude += weight * v;
      if (r.v_scale(p) > 0) codes += v / r.v_scale(p);
      largest_weight = std::max(largest_weight, weight * r.v_scale(p));
      double terms = 0, keys = 0;
      for (int64_t d = 0; d < a.head_dim; ++d) {
        terms += std::abs(r.q(d) * r.k(p, d));
        keys += std::abs(r.k(p, d));
      }
      largest_terms = std::max(largest_terms, terms * a.scale);
      largest_keys = std::max(largest_keys, keys * a.scale);
    }
    const double score_error = 4 * std::sqrt(static_cast<double>(a.head_dim)) * u * largest_terms +
                               half_step * largest_q * largest_keys;
    const double sum_error = (8 + 4 * std::sqrt(static_cast<double>(r.num_seen))) * u;
    bound = magnitude / weights *
                (2 * score_error + 2 * sum_error +
                 (a.q.dtype == DType::bf16 ? unit_roundoff(DType::bf16) : 0.0)) +
            half_step * largest_weight * codes / weights +
            2 * unit_roundoff(a.y.dtype) * std::abs(load_element(a.y, row, column));
  });
  return bound;
}

}  // namespace

const ValueType& expect_cache(const ShapeRule& rule, size_t operand, int64_t num_kv_heads,
                              int64_t head_dim, const Attrs& attrs) {
  const ValueType& cache = rule.type(operand);
  if (cache.dims.size() != 5 || !is_kv_cache_dtype(cache.dtype))
    rule.fail_operand(operand,
                      "fp32, bf16 or fp8_e4m3 [N, 2, num_kv_heads, block_size, head_dim], or int8 "
                      "with head_dim + 4");
  if (cache.dims[0].is_constant()) rule.constant_extent(operand, 0);
  const int64_t block_size = rule.constant_extent(operand, 3);
  rule.expect_type(
      operand,
      {cache.dtype,
       {cache.dims[0], 2, num_kv_heads, block_size, kv_row_extent(cache.dtype, head_dim)}},
      "num_kv_heads and head_dim of the attributes");
  for (const char* const name : {"k_scale", "v_scale"}) {
    if (!attrs.contains(name)) continue;
    if (cache.dtype != DType::fp8_e4m3)
      rule.fail(fmt::format("attribute {} belongs to a cache of fp8_e4m3", name));
    constexpr double kExtreme = 1e30;  // fp32 has it, and its inverse
    const double scale = rule.positive_attr(name);
    if (scale < 1 / kExtreme || scale > kExtreme)
      rule.fail(fmt::format("attribute {}={}, expected 1e-30 to 1e30", name, scale));
  }
  return cache;
}

float kv_scale(const OpCall& call, std::string_view name) {
  return call.attrs.contains(name) ? static_cast<float>(call.attrs.get_float(name)) : 1.0f;
}

int64_t even_head_dim(const ShapeRule& rule) {
  const int64_t head_dim = rule.int_attr("head_dim", 2, kMaxHeadDim);
  if (head_dim % 2 != 0) rule.fail("attribute head_dim is odd, the cache holds pairs of channels");
  return head_dim;
}

void kv_append_reference(const KvAppendArgs& a) {
  const KvLayout layout = KvLayout::of(a.cache);
  for (int64_t t = 0; t < a.k.shape[0]; ++t) {
    const int64_t slot = a.slots.as<const int64_t>()[t];
    VELOZ_DCHECK(slot >= 0 && slot < layout.num_blocks * layout.block_size, "slot {}", slot);
    for (int64_t head = 0; head < layout.num_kv_heads; ++head) {
      const int64_t begin = head * layout.head_dim;
      store_head(
          a.cache, {a.k, t, begin, layout.head_dim}, a.k_scale,
          [&](int64_t d) { return layout.k_index(slot, head, d); },
          layout.k_scale_index(slot, head));
      store_head(
          a.cache, {a.v, t, begin, layout.head_dim}, a.v_scale,
          [&](int64_t d) { return layout.v_index(slot, head, d); },
          layout.v_scale_index(slot, head));
    }
  }
}

double kv_token_bytes(const TensorView& cache, int64_t num_tokens) {
  return static_cast<double>(2 * num_tokens * cache.shape[2] * cache.shape[4]) *
         static_cast<double>(dtype_bytes(cache.dtype));
}

KvAppendArgs KvAppendArgs::from(const OpCall& call) {
  VELOZ_DCHECK(call.inputs.size() == 4 && call.outputs.size() == 1, "kv_append of {} operands",
               call.inputs.size());
  return {.cache = call.outputs[0],
          .k = call.inputs[1],
          .v = call.inputs[2],
          .slots = call.inputs[3],
          .k_scale = kv_scale(call, "k_scale"),
          .v_scale = kv_scale(call, "v_scale")};
}

PagedAttentionArgs PagedAttentionArgs::from(const OpCall& call) {
  VELOZ_DCHECK(call.inputs.size() == 6 && call.outputs.size() == 1,
               "paged_attention of {} operands", call.inputs.size());
  return {.q = call.inputs[0],
          .cache = call.inputs[1],
          .q_starts = call.inputs[2],
          .q_lens = call.inputs[3],
          .kv_lens = call.inputs[4],
          .block_tables = call.inputs[5],
          .y = call.outputs[0],
          .num_heads = call.attrs.get_int("num_heads"),
          .num_kv_heads = call.attrs.get_int("num_kv_heads"),
          .head_dim = call.attrs.get_int("head_dim"),
          .scale = static_cast<float>(call.attrs.get_float("scale")),
          .k_scale = kv_scale(call, "k_scale"),
          .v_scale = kv_scale(call, "v_scale")};
}

Cost paged_attention_cost(const OpCall& call, std::span<const int32_t> q_lens,
                          std::span<const int32_t> kv_lens) {
  double num_seen = 0, num_read = 0;
  for (size_t s = 0; s < q_lens.size(); ++s) {
    const double q_len = q_lens[s], kv_len = kv_lens[s];
    num_seen += q_len * (kv_len - (q_len - 1) / 2);
    num_read += kv_len;
  }
  return attention_cost(PagedAttentionArgs::from(call), num_seen, num_read);
}

OpDef kv_append_def() {
  return {.op = Op::kv_append,
          .name = "kv_append",
          .infer = infer_kv_append,
          .cost = kv_append_cost,
          .reference = run_kv_append_reference,
          .threads_state = true};
}
OpDef paged_attention_def() {
  return {.op = Op::paged_attention,
          .name = "paged_attention",
          .infer = infer_paged_attention,
          .cost = longest_attention_cost,
          .reference = paged_attention_reference,
          .tolerance = paged_attention_tolerance};
}

}  // namespace veloz::ops
