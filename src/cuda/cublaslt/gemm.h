// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "ops/kernel.h"

namespace veloz::cuda {

/// What multiplies the sums of a product of fp8 codes.
enum class GemmScaling : uint8_t {
  none,
  scalars,  // one fp32 for all of x, one for all of w
  rows,     // one fp32 per row of x (token) and one per row of w (output channel)
};

/// y[t,n] = sum_k x[t,k] * w[n,k], as a library of matrix products is asked for it.
///
/// Libraries think in columns: to them w, rows of K contiguous, is the left matrix K x N to be
/// transposed, x the right one K x T, and y comes out as N x T, which is our [T, N]. So the weight
/// is on the side where the tensor cores have 64 rows, and few tokens waste nothing.
struct Gemm {
  int64_t tokens = 0;  // T
  int64_t n = 0;       // rows of w
  int64_t k = 0;
  DType operands = DType::bf16;  // of x and w: bf16 or fp8_e4m3
  DType out = DType::bf16;       // bf16 or fp32
  GemmScaling scaling = GemmScaling::none;
  /// Of fp8: sums are never moved from the tensor cores' own precision (about 14 bits) to fp32.
  bool fast_accumulation = false;
  /// Only by algorithms whose results have the bits of our own kernels'.
  bool same_bits = false;

  bool operator==(const Gemm&) const = default;
};

/// Which bits those are. Raised with every change to the order of our kernels' sums
/// (gemm_kernel.h): what was seen to have the old ones need not have the new.
inline constexpr int kOurBits = 1;

/// "fp8_e4m3 rows fast t=16 n=10240 k=8192 bf16", or with ", bits 1" after it: one line, equal only
/// for equal products.
std::string to_string(const Gemm& gemm);

/// Products are tuned for these numbers of tokens; others use the next larger one's algorithm.
inline constexpr std::array<int64_t, 20> kTokenBuckets = {
    1, 2, 4, 8, 16, 32, 64, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192};
/// The smallest bucket that holds `tokens`, or the last.
int64_t token_bucket(int64_t tokens);
/// `gemm` at every bucket up to that of `max_tokens`: what to tune at load.
std::vector<Gemm> in_all_buckets(const Gemm& gemm, int64_t max_tokens);

/// The product that a `linear` or `quantized_linear` of these operands is, with 0 tokens where
/// their number is a symbol. Nothing for what the library path leaves to other kernels: a bias
/// (the op rounds once, after it, and the library's bias of fp8 is bf16), fp32 operands, integer
/// codes, groups, rows that are not a multiple of 16 bytes.
std::optional<Gemm> gemm_of(const ops::KernelQuery& query);

/// Whether the library's time for a product is less than our kernels', as measured on an H200 on
/// the weights of an 8B and a 70B model: for bf16 it is at any number of tokens (0.80 to 0.97 of
/// ours); for fp8 from 256 tokens on (0.60 to 0.89), and of large weights from 128 on (0.70 to
/// 0.92). Below, ours take as little as half of its time.
bool is_library_faster(const Gemm& gemm);

}  // namespace veloz::cuda
