// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "support/kv_rows.h"

/// Calls of rope_append, and of the three ops that it is. In short:
///
///   const RopeAppendCall call(c);
///   const AppendedRows want = call.apart([](Op op, inputs, outputs, attrs) { ... });
///   const AppendedRows got = call.fused(...);
namespace veloz::test {

struct RopeAppendCase {
  DType dtype = DType::bf16;
  DType cache_dtype = DType::bf16;
  int64_t num_heads = 4;
  int64_t num_kv_heads = 2;
  int64_t head_dim = 64;
  int64_t rotary_dim = 64;
  int64_t block_size = 16;
  int64_t num_tokens = 7;
  std::string style = "neox";
  int64_t gap = 8;  // elements between rows of qkv
};

inline void PrintTo(const RopeAppendCase& c, std::ostream* out) {
  *out << c.num_tokens << " tokens of " << c.num_heads << " + 2 x " << c.num_kv_heads
       << " heads of " << c.head_dim << ", " << c.rotary_dim << " of them rotated " << c.style
       << ", " << to_string(c.dtype) << " to " << to_string(c.cache_dtype) << " in blocks of "
       << c.block_size << ", gap " << c.gap;
}

/// Heads of models and of none, partly rotated or not.
inline std::vector<RopeAppendCase> rope_append_cases(DType dtype, DType cache_dtype) {
  struct Heads {
    int64_t num_heads, num_kv_heads, head_dim, rotary_dim, block_size;
  };
  std::vector<RopeAppendCase> cases;
  for (const Heads& h : {Heads{1, 1, 2, 2, 16}, Heads{3, 1, 24, 10, 16}, Heads{5, 3, 40, 40, 32},
                         Heads{4, 2, 64, 32, 64}, Heads{2, 2, 102, 64, 16},
                         Heads{8, 1, 128, 128, 64}, Heads{1, 1, 300, 64, 16}})
    for (const char* const style : {"neox", "interleaved"})
      for (const int64_t num_tokens : {0, 1, 7, 33})
        cases.push_back({.dtype = dtype,
                         .cache_dtype = cache_dtype,
                         .num_heads = h.num_heads,
                         .num_kv_heads = h.num_kv_heads,
                         .head_dim = h.head_dim,
                         .rotary_dim = h.rotary_dim,
                         .block_size = h.block_size,
                         .num_tokens = num_tokens,
                         .style = style,
                         .gap = num_tokens % 2 == 0 ? 2 : 8});
  return cases;
}

/// What a call leaves: the cache after it, and q rotated.
struct AppendedRows {
  OwnedTensor cache;
  OwnedTensor q;
};

class RopeAppendCall {
 public:
  explicit RopeAppendCall(const RopeAppendCase& c)
      : case_(c),
        cache_(marked_cache(c.cache_dtype, 40 / c.block_size + 1, c.num_kv_heads, c.block_size,
                            c.head_dim)),
        qkv_(random_kv_rows(c.dtype, c.num_tokens, (c.num_heads + 2 * c.num_kv_heads) * c.head_dim,
                            c.gap, 5)),
        angles_(DType::fp32, {c.num_tokens, c.rotary_dim}),
        slots_(scattered_slots(c.num_tokens, cache_.view().shape[0] * c.block_size)),
        attrs_(kv_append_attrs(c.cache_dtype, c.num_kv_heads, c.head_dim)) {
    const OwnedTensor positions =
        random_tensor(DType::int32, {c.num_tokens}, 6, {.low = 0, .high = 4096});
    run_reference_into(
        ops::Op::rope_angles, {positions.view()}, {angles_.view()},
        {{"rotary_dim", c.rotary_dim}, {"theta", 10000.0}, {"scaling", std::string("none")}});
    attrs_.set("num_heads", c.num_heads);
    attrs_.set("style", c.style);
  }

  const ops::Attrs& attrs() const { return attrs_; }
  const OwnedTensor& cache() const { return cache_; }
  const OwnedTensor& qkv() const { return qkv_; }
  const OwnedTensor& slots() const { return slots_; }
  /// With this one as the cache.
  std::vector<TensorView> inputs(const TensorView& cache) const {
    return {cache, qkv_.view(), angles_.view(), slots_.view()};
  }

  /// run(op, inputs, outputs, attrs), once.
  template <typename Run>
  AppendedRows fused(const Run& run) const {
    AppendedRows rows = before();
    run(ops::Op::rope_append, inputs(rows.cache.view()), {rows.cache.view(), rows.q.view()},
        attrs_);
    return rows;
  }
  /// And three times.
  template <typename Run>
  AppendedRows apart(const Run& run) const {
    AppendedRows rows = before();
    const int64_t kv_width = case_.num_kv_heads * case_.head_dim;
    const int64_t q_width = case_.num_heads * case_.head_dim;
    const OwnedTensor k(case_.dtype, {case_.num_tokens, kv_width});
    const auto rotate = [&](int64_t begin, int64_t num_heads, const TensorView& y) {
      run(ops::Op::rope, {columns(begin, y.shape[1]), angles_.view()}, {y},
          {{"num_heads", num_heads}, {"head_dim", case_.head_dim}, {"style", case_.style}});
    };
    rotate(0, case_.num_heads, rows.q.view());
    rotate(q_width, case_.num_kv_heads, k.view());
    run(ops::Op::kv_append,
        {rows.cache.view(), k.view(), columns(q_width + kv_width, kv_width), slots_.view()},
        {rows.cache.view()},
        kv_append_attrs(case_.cache_dtype, case_.num_kv_heads, case_.head_dim));
    return rows;
  }

 private:
  AppendedRows before() const {
    const int64_t width = case_.num_heads * case_.head_dim;
    return {.cache = copy_of(cache_.view()),
            .q = OwnedTensor(case_.dtype, {case_.num_tokens, width}, width + case_.gap)};
  }
  TensorView columns(int64_t begin, int64_t count) const {
    const TensorView& all = qkv_.view();
    return TensorView(all.as<std::byte>() + static_cast<size_t>(begin) * dtype_bytes(all.dtype),
                      all.dtype, {all.shape[0], count}, all.row_stride);
  }

  RopeAppendCase case_;
  OwnedTensor cache_;
  OwnedTensor qkv_;
  OwnedTensor angles_;
  OwnedTensor slots_;
  ops::Attrs attrs_;
};

/// Every byte of both is the same.
inline ::testing::AssertionResult same_bytes(const AppendedRows& got, const AppendedRows& want) {
  for (const auto& [a, b] : {std::pair(&got.cache, &want.cache), {&got.q, &want.q}})
    for (int64_t row = 0; row < a->view().shape[0]; ++row) {
      const auto bytes = static_cast<size_t>(TensorView::contiguous_row_stride(a->view().shape)) *
                         dtype_bytes(a->view().dtype);
      const auto at = [&](const TensorView& view) {
        return view.as<std::byte>() +
               static_cast<size_t>(row * view.row_stride) * dtype_bytes(view.dtype);
      };
      if (std::memcmp(at(a->view()), at(b->view()), bytes) != 0)
        return ::testing::AssertionFailure()
               << (a == &got.cache ? "block " : "row of q ") << row << " differs";
    }
  if (!got.q.gaps_untouched()) return ::testing::AssertionFailure() << "wrote between rows of q";
  return ::testing::AssertionSuccess();
}

}  // namespace veloz::test
