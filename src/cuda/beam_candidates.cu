// SPDX-License-Identifier: Apache-2.0
#include "cuda/launch.h"
#include "cuda/logits.h"
#include "cuda/ptx/dependent_launch.h"
#include "cuda/select.cuh"

namespace veloz::cuda {
namespace {

/// Scores of a group's continuations, at index row * num_columns + token; those of -infinity take
/// no part.
struct GroupScores {
  const float* logprobs;  // of the group's first row
  int64_t stride;
  int num_columns;
  const float* beam_scores;
  int num_rows;

  __device__ float score(uint32_t index) const {
    const uint32_t row = index / static_cast<uint32_t>(num_columns);
    const uint32_t token = index % static_cast<uint32_t>(num_columns);
    return beam_scores[row] + logprobs[static_cast<int64_t>(row) * stride + token];
  }
  template <int kUnroll = 1, typename F>
  __device__ void for_each(const F& f) const {
    for (int row = 0; row < num_rows; ++row) {
      const float beam_score = beam_scores[row];
      const auto start = static_cast<uint32_t>(row) * static_cast<uint32_t>(num_columns);
      for_each_four<kUnroll>(
          logprobs + row * stride, num_columns, [&](int first, const float(&x)[4], int count) {
#pragma unroll
            for (int j = 0; j < 4; ++j) {
              if (j >= count) continue;
              const Rank rank =
                  rank_of(beam_score + x[j], start + static_cast<uint32_t>(first + j));
              f(bits_of(rank) == kMinusInfinityBits ? kNoRank : rank);
            }
          });
    }
  }
};

struct Groups {
  const float* logprobs;
  int64_t logprobs_stride;
  int num_columns;
  const float* beam_scores;
  const int32_t* starts;
  float* scores;
  int64_t scores_stride;
  int32_t* beams;
  int64_t beams_stride;
  int32_t* tokens;
  int64_t tokens_stride;
  int32_t* is_valid;
  int k;
};

__global__ void __launch_bounds__(kRowThreads, 2) beam_candidates_kernel(Groups groups) {
  wait_for_previous_kernel();
  allow_next_kernel();
  auto& memory = *reinterpret_cast<SelectMemory*>(dynamic_shared());
  const auto group = static_cast<int64_t>(blockIdx.x);
  const int32_t first_row = groups.starts[group];
  const GroupScores scores{groups.logprobs + first_row * groups.logprobs_stride,
                           groups.logprobs_stride, groups.num_columns,
                           groups.beam_scores + first_row, groups.starts[group + 1] - first_row};
  Rank best = kNoRank;
  bool is_nan = false;
  scores.for_each<4>([&](Rank rank) {
    best = rank > best ? rank : best;
    is_nan = is_nan || (rank != kNoRank && bits_of(rank) == 0);
  });
  const bool is_valid = block_max(is_nan ? 1 : 0, memory.warp_bests) == 0;

  RankRange range;
  range.low = bound_kth(best, groups.k, memory);
  float* const to_scores = groups.scores + group * groups.scores_stride;
  int32_t* const to_beams = groups.beams + group * groups.beams_stride;
  int32_t* const to_tokens = groups.tokens + group * groups.tokens_stride;
  int done = 0;
  while (done < groups.k) {
    const int wanted = groups.k - done < kListCapacity ? groups.k - done : kListCapacity;
    const int count = select_best(scores, range, wanted, memory);
    for (int i = static_cast<int>(threadIdx.x); i < count; i += kRowThreads) {
      const uint32_t index = index_of(memory.list[i]);
      to_scores[done + i] = scores.score(index);
      to_beams[done + i] = static_cast<int32_t>(index / static_cast<uint32_t>(groups.num_columns));
      to_tokens[done + i] = static_cast<int32_t>(index % static_cast<uint32_t>(groups.num_columns));
    }
    done += count;
    if (count < wanted) break;
    range.high = memory.list[count - 1];
    __syncthreads();  // the list has been read
  }
  for (int i = done + static_cast<int>(threadIdx.x); i < groups.k; i += kRowThreads) {
    to_scores[i] = score_of(kMinusInfinityBits);
    to_beams[i] = -1;
    to_tokens[i] = -1;
  }
  if (threadIdx.x == 0) groups.is_valid[group] = is_valid ? 1 : 0;
}

}  // namespace

void beam_candidates(ops::OpContext& context, const ops::BeamCandidatesArgs& args) noexcept {
  const int64_t num_groups = args.is_valid.shape[0];
  if (num_groups == 0) return;
  const Groups groups{.logprobs = args.logprobs.as<const float>(),
                      .logprobs_stride = args.logprobs.row_stride,
                      .num_columns = static_cast<int>(args.logprobs.shape[1]),
                      .beam_scores = args.beam_scores.as<const float>(),
                      .starts = args.group_starts.as<const int32_t>(),
                      .scores = args.scores.as<float>(),
                      .scores_stride = args.scores.row_stride,
                      .beams = args.beams.as<int32_t>(),
                      .beams_stride = args.beams.row_stride,
                      .tokens = args.tokens.as<int32_t>(),
                      .tokens_stride = args.tokens.row_stride,
                      .is_valid = args.is_valid.as<int32_t>(),
                      .k = static_cast<int>(args.scores.shape[1])};
  launch(stream_of(context), "beam_candidates", beam_candidates_kernel,
         {.grid = dim3(static_cast<unsigned>(num_groups)),
          .block = dim3(kRowThreads),
          .shared_bytes = sizeof(SelectMemory)},
         groups);
}

}  // namespace veloz::cuda
