// SPDX-License-Identifier: Apache-2.0
#include "cuda/cublaslt/gemm.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "cuda/cublaslt/linear.h"

namespace veloz::cuda {
namespace {

constexpr int64_t kAlignment = 16;  // bytes, of every row

bool is_aligned(int64_t elements, DType dtype) {
  return elements > 0 && elements * static_cast<int64_t>(dtype_bytes(dtype)) % kAlignment == 0;
}

bool is_one_per_row(const ops::ValueType& scales) {
  return scales.dtype == DType::fp32 && scales.dims.size() == 2 && scales.dims[1] == ops::Dim(1);
}

std::string_view to_string(GemmScaling scaling) {
  switch (scaling) {
    case GemmScaling::none:
      return "unscaled";
    case GemmScaling::scalars:
      return "scalars";
    case GemmScaling::rows:
      return "rows";
  }
  return "unscaled";
}

}  // namespace

std::string to_string(const Gemm& gemm) {
  return fmt::format("{} {}{} t={} n={} k={} {}{}", veloz::to_string(gemm.operands),
                     to_string(gemm.scaling), gemm.fast_accumulation ? " fast" : "", gemm.tokens,
                     gemm.n, gemm.k, veloz::to_string(gemm.out),
                     gemm.same_bits ? fmt::format(", bits {}", kOurBits) : "");
}

int64_t token_bucket(int64_t tokens) {
  const auto bucket = std::ranges::lower_bound(kTokenBuckets, tokens);
  return bucket == kTokenBuckets.end() ? kTokenBuckets.back() : *bucket;
}

std::vector<Gemm> in_all_buckets(const Gemm& gemm, int64_t max_tokens) {
  std::vector<Gemm> gemms;
  for (const int64_t tokens : kTokenBuckets) {
    if (tokens > token_bucket(max_tokens)) break;
    gemms.push_back(gemm);
    gemms.back().tokens = tokens;
  }
  return gemms;
}

bool is_library_faster(const Gemm& gemm) {
  constexpr int64_t kLargeWeight = int64_t{64} << 20;  // elements
  if (gemm.operands != DType::fp8_e4m3) return true;
  return gemm.tokens >= (gemm.n * gemm.k >= kLargeWeight ? 128 : 256);
}

std::optional<Gemm> gemm_of(const ops::KernelQuery& query) {
  const bool is_quantized = query.op == ops::Op::quantized_linear;
  if (!is_quantized && query.op != ops::Op::linear) return std::nullopt;
  const size_t w_at = is_quantized ? 2 : 1;
  if (query.inputs.size() != (is_quantized ? size_t{4} : size_t{2}) || query.outputs.size() != 1)
    return std::nullopt;
  const ops::ValueType& x = query.inputs[0];
  const ops::ValueType& w = query.inputs[w_at];
  const ops::ValueType& y = query.outputs[0];
  if (x.dims.size() != 2 || w.dims.size() != 2 || y.dims.size() != 2) return std::nullopt;
  const DType operands = is_quantized ? DType::fp8_e4m3 : DType::bf16;
  if (x.dtype != operands || w.dtype != operands) return std::nullopt;
  if (y.dtype != DType::bf16 && y.dtype != DType::fp32) return std::nullopt;
  if (is_quantized && !(is_one_per_row(query.inputs[1]) && is_one_per_row(query.inputs[3])))
    return std::nullopt;
  const int64_t n = w.dims[0].value, k = w.dims[1].value;
  // fp8 products want whole units of 16 codes along both.
  if (!is_aligned(k, operands) || !is_aligned(n, operands)) return std::nullopt;
  if (!query.weight_layout.empty() && query.weight_layout != "plain") return std::nullopt;
  return Gemm{.tokens = x.dims[0].value,
              .n = n,
              .k = k,
              .operands = operands,
              .out = y.dtype,
              .scaling = is_quantized ? GemmScaling::rows : GemmScaling::none};
}

namespace cublaslt {

bool accepts(const ops::KernelQuery& query) { return gemm_of(query).has_value(); }

}  // namespace cublaslt
}  // namespace veloz::cuda
