// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "cuda/launch.h"
#include "cuda/logits.h"
#include "cuda/ptx/dependent_launch.h"
#include "cuda/select.cuh"

namespace veloz::cuda {
namespace {

struct FloatRows {
  const float* data;
  int64_t stride;
  int num_columns;

  __device__ const float* row() const { return data + static_cast<int64_t>(blockIdx.x) * stride; }
};

/// ops::LogSoftmax.
struct LogSoftmax {
  float max;
  float log_sum;

  __device__ float of(float x) const { return (x - max) - log_sum; }
};

/// As the reference does it: top_logprobs is exact.
struct ExactExp {
  __device__ double operator()(float x, float max) const {
    return exp(static_cast<double>(x) - static_cast<double>(max));
  }
};
/// Three times as fast, and far within the tolerance of log_softmax.
struct FastExp {
  __device__ double operator()(float x, float max) const {
    return static_cast<double>(expf(x - max));
  }
};

/// `max` counts no NaN; one makes the sum a NaN.
template <typename Exp>
__device__ LogSoftmax normalise(const float* row, int num_columns, float max, const Exp& exp_of,
                                double (&memory)[kRowWarps]) {
  double sum = 0;
  for_each_four<2>(row, num_columns, [&](int, const float(&x)[4], int count) {
#pragma unroll
    for (int j = 0; j < 4; ++j)
      if (j < count) sum += exp_of(x[j], max);
  });
  return {max, static_cast<float>(log(block_sum(sum, memory)))};
}

/// Of a row whose best rank this is: -infinity where all are NaN.
__device__ float max_of(Rank best) {
  const uint32_t bits = bits_of(best);
  return score_of(bits > kMinusInfinityBits ? bits : kMinusInfinityBits);
}

__global__ void __launch_bounds__(kRowThreads, 2)
    log_softmax_kernel(FloatRows logits, float* logprobs, int64_t logprobs_stride) {
  __shared__ uint64_t warp_bests[kRowWarps];
  __shared__ double warp_sums[kRowWarps];
  wait_for_previous_kernel();
  allow_next_kernel();
  const float* const row = logits.row();
  Rank best = kNoRank;
  RowScores{row, logits.num_columns}.for_each<4>(
      [&](Rank rank) { best = rank > best ? rank : best; });
  const float max = max_of(block_max(best, warp_bests));
  const LogSoftmax normaliser = normalise(row, logits.num_columns, max, FastExp(), warp_sums);
  // Each thread writes what it alone has read, so the two may be one.
  float* const to = logprobs + static_cast<int64_t>(blockIdx.x) * logprobs_stride;
  const bool is_aligned = (reinterpret_cast<uintptr_t>(to) & 15u) == 0;
  for_each_four<4>(row, logits.num_columns, [&](int first, const float(&x)[4], int count) {
    if (is_aligned && count == 4) {
      *reinterpret_cast<float4*>(to + first) = make_float4(
          normaliser.of(x[0]), normaliser.of(x[1]), normaliser.of(x[2]), normaliser.of(x[3]));
      return;
    }
#pragma unroll
    for (int j = 0; j < 4; ++j)
      if (j < count) to[first + j] = normaliser.of(x[j]);
  });
}

struct TopRows {
  const int32_t* chosen;
  float* chosen_logprobs;
  int32_t* chosen_ranks;
  float* logprobs;
  int64_t logprobs_stride;
  int32_t* tokens;
  int64_t tokens_stride;
  int k;
};

__global__ void __launch_bounds__(kRowThreads, 2)
    top_logprobs_kernel(FloatRows logits, TopRows top) {
  __shared__ double warp_sums[kRowWarps];
  wait_for_previous_kernel();
  allow_next_kernel();
  auto& memory = *reinterpret_cast<SelectMemory*>(dynamic_shared());
  const auto r = static_cast<int64_t>(blockIdx.x);
  const float* const row = logits.row();
  const RowScores scores{row, logits.num_columns};
  Rank best = kNoRank;
  scores.for_each<4>([&](Rank rank) { best = rank > best ? rank : best; });
  const float max = max_of(block_max(best, memory.warp_bests));
  const float own = row[top.chosen[r]];
  int num_as_likely = 0;
  const auto count_and_exp = [&](float x, float largest) {
    num_as_likely += x >= own ? 1 : 0;
    return ExactExp()(x, largest);
  };
  const LogSoftmax normaliser = normalise(row, logits.num_columns, max, count_and_exp, warp_sums);
  const double rank = block_sum(num_as_likely, warp_sums);
  if (threadIdx.x == 0) {
    top.chosen_logprobs[r] = normaliser.of(own);
    top.chosen_ranks[r] = static_cast<int32_t>(rank);
  }

  RankRange range;
  if (top.k > 0) range.low = bound_kth(best, top.k, memory);
  for (int done = 0; done < top.k;) {
    const int wanted = top.k - done < kListCapacity ? top.k - done : kListCapacity;
    const int count = select_best(scores, range, wanted, memory);
    for (int i = static_cast<int>(threadIdx.x); i < count; i += kRowThreads) {
      const uint32_t token = index_of(memory.list[i]);
      top.logprobs[r * top.logprobs_stride + done + i] = normaliser.of(row[token]);
      top.tokens[r * top.tokens_stride + done + i] = static_cast<int32_t>(token);
    }
    range.high = memory.list[count - 1];
    done += count;
    __syncthreads();  // the list has been read
  }
}

FloatRows rows_of(const TensorView& logits) {
  return {logits.as<const float>(), logits.row_stride, static_cast<int>(logits.shape[1])};
}

}  // namespace

void log_softmax(ops::OpContext& context, const ops::LogSoftmaxArgs& args) noexcept {
  const int64_t num_rows = args.logits.shape[0];
  if (num_rows == 0) return;
  launch(stream_of(context), "log_softmax", log_softmax_kernel,
         {.grid = dim3(static_cast<unsigned>(num_rows)), .block = dim3(kRowThreads)},
         rows_of(args.logits), args.logprobs.as<float>(), args.logprobs.row_stride);
}

void top_logprobs(ops::OpContext& context, const ops::TopLogprobsArgs& args) noexcept {
  const int64_t num_rows = args.logits.shape[0];
  if (num_rows == 0) return;
  const TopRows top{.chosen = args.chosen.as<const int32_t>(),
                    .chosen_logprobs = args.chosen_logprobs.as<float>(),
                    .chosen_ranks = args.chosen_ranks.as<int32_t>(),
                    .logprobs = args.top_logprobs.as<float>(),
                    .logprobs_stride = args.top_logprobs.row_stride,
                    .tokens = args.top_tokens.as<int32_t>(),
                    .tokens_stride = args.top_tokens.row_stride,
                    .k = static_cast<int>(args.top_tokens.shape[1])};
  launch(stream_of(context), "top_logprobs", top_logprobs_kernel,
         {.grid = dim3(static_cast<unsigned>(num_rows)),
          .block = dim3(kRowThreads),
          .shared_bytes = sizeof(SelectMemory)},
         rows_of(args.logits), top);
}

}  // namespace veloz::cuda
