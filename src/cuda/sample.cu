// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "cuda/launch.h"
#include "cuda/logits.h"
#include "cuda/ptx/dependent_launch.h"
#include "cuda/ptx/opaque.h"
#include "cuda/race.cuh"
#include "cuda/select.cuh"

/// A block for each row. Weights grow with logits, so each filter keeps what ranks above some edge:
/// the edges are searched (select.cuh), and the race is run by what is left. The reference sums the
/// weights for top_p in another order: tokens differ where a share comes within a few 1e-16 of
/// top_p, which equal logits, whose weights are 1, do not.
namespace veloz::cuda {
namespace {

struct SampleRows {
  const float* logits;
  int64_t logits_stride;
  int num_columns;
  const float* params;
  int64_t params_stride;
  const int32_t* top_k;
  const int32_t* rng;
  int64_t rng_stride;
  int32_t* tokens;
  int32_t* outcomes;
};

/// What a logit weighs: SampleRow::weight of the reference.
struct Weights {
  float max;
  float temperature;
  float min_p;

  __device__ double of(float logit) const {
    return exp((static_cast<double>(logit) - static_cast<double>(max)) /
               static_cast<double>(temperature));
  }
  __device__ bool admits(double weight) const {
    return weight > 0 && weight >= static_cast<double>(min_p);
  }
  /// 0 where min_p drops it.
  __device__ double operator()(Rank rank) const {
    const double weight = of(score_of(bits_of(rank)));
    return admits(weight) ? weight : 0.0;
  }
};

/// Buckets a factor e of weight wide, the best the highest.
struct WeightBuckets {
  float max;
  float scale;

  __device__ int operator()(Rank rank) const { return of_bits(bits_of(rank)); }
  __device__ int of_bits(uint32_t bits) const {
    const float below = (max - score_of(bits)) * scale;
    constexpr float kLast = kNumBuckets - 1;
    return kNumBuckets - 1 - static_cast<int>(below < kLast ? below : kLast);
  }
  /// The lowest bits from -infinity's to the largest logit's whose bucket is at least `bucket`.
  __device__ uint32_t first_bits(int bucket) const {
    uint32_t low = kMinusInfinityBits;
    uint32_t high = ordered_bits(max);  // is in the highest bucket
    while (low < high) {
      const uint32_t middle = low + (high - low) / 2;
      if (of_bits(middle) >= bucket)
        high = middle;
      else
        low = middle + 1;
    }
    return low;
  }
};

/// The lowest rank that the filters leave in the race, min_p apart.
__device__ Rank filter(const RowScores& scores, int top_k, float top_p, const Weights& weights,
                       Rank best_of_thread, SelectMemory& memory) {
  RankRange range;
  if (top_k > 0 && top_k < scores.num_columns) {
    range.low = bound_kth(best_of_thread, top_k, memory);
    range.low = find_kth(scores, range, top_k, memory);
  }
  if (top_p >= 1) return range.low;

  const float most = 1e30f;  // so that nothing times it is a NaN
  const auto inverse = static_cast<float>(1 / static_cast<double>(weights.temperature));
  const WeightBuckets buckets{weights.max, inverse < most ? inverse : most};
  sum_buckets(scores, range, weights, buckets, memory);
  double total = 0;
  for (int b = 0; b < kNumBuckets; ++b) total += memory.bucket_sums[b];
  const double target = static_cast<double>(top_p) * total;
  double base = 0;
  const int bucket = find_bucket(base, target, memory);
  const Rank from = static_cast<Rank>(buckets.first_bits(bucket)) << 32;
  if (from > range.low) range.low = from;
  if (bucket < kNumBuckets - 1)
    range.high = static_cast<Rank>(buckets.first_bits(bucket + 1)) << 32;
  __syncthreads();  // the sums have been read: the list takes their place
  return find_edge(scores, range, base, target, weights, memory);
}

/// One of four values, all of them in registers.
template <typename T>
__device__ T pick(T a, T b, T c, T d, int which) {
  const T low = which == 0 ? a : b;
  const T high = which == 2 ? c : d;
  return which < 2 ? low : high;
}

/// The winner among the ranks from `edge` on.
__device__ int32_t run_race(const RowScores& scores, Rank edge, uint32_t largest,
                            const Weights& weights, const RaceKey& key, SelectMemory& memory) {
  constexpr float kColdest = 1e-6f;  // below, exponents do not fit fp32
  constexpr double kLog2E = 1.4426950408889634;
  constexpr float kMaxFloat = 0x1.fffffep127f;
  const bool is_cold = weights.temperature < kColdest;
  const auto scale =
      is_cold ? 0.0f : static_cast<float>(kLog2E / static_cast<double>(weights.temperature));

  // The largest logit runs, and weighs 1: most others are seen to lose to it without a logarithm.
  uint32_t winner = largest;
  const std::array<uint32_t, 4> words = race_words(key, winner / 4);
  double best = -log(
      race_uniform(pick(words[0], words[1], words[2], words[3], static_cast<int>(winner % 4))));

  for_each_four(scores.row, scores.num_columns, [&](int first, const float(&x)[4], int count) {
    unsigned runners = 0;  // a bit for each of the four
#pragma unroll
    for (int j = 0; j < 4; ++j)
      if (j < count && rank_of(x[j], static_cast<uint32_t>(first + j)) >= edge) runners |= 1u << j;
    if (runners == 0) return;
    // So that the keys of Philox's rounds are not kept in registers.
    RaceKey fresh = key;
    make_opaque(fresh.seed_low);
    make_opaque(fresh.seed_high);
    const std::array<uint32_t, 4> own = race_words(fresh, static_cast<uint32_t>(first) / 4);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      // -ln(u) >= 1 - u. The difference is kept finite: nothing times it is a NaN.
      const float below = fmaxf(x[j] - weights.max, -kMaxFloat);
      const double bound = exp2_bound(below * scale);
      if (1 - race_uniform(own[static_cast<size_t>(j)]) > best * bound) runners &= ~(1u << j);
    }
    for (; runners != 0; runners &= runners - 1) {
      const int j = __ffs(static_cast<int>(runners)) - 1;
      const double weight = weights.of(pick(x[0], x[1], x[2], x[3], j));
      if (!weights.admits(weight)) continue;
      const double time = -log(race_uniform(pick(own[0], own[1], own[2], own[3], j))) / weight;
      const auto token = static_cast<uint32_t>(first + j);
      if (time < best || (time == best && token < winner)) {
        best = time;
        winner = token;
      }
    }
  });

  // Times are positive: their bits ascend with them.
  const auto earliness = ~bit_cast<uint64_t>(best);
  const uint64_t earliest = block_max(earliness, memory.warp_bests);
  return static_cast<int32_t>(
      ~block_max(earliness == earliest ? uint64_t{~winner} : 0, memory.warp_bests));
}

/// Of a row whose best rank has these bits; NaN stands above all.
__device__ ops::SampleOutcome outcome_of(uint32_t best_bits) {
  if (best_bits > kPlusInfinityBits) return ops::SampleOutcome::nan_logits;
  if (best_bits == kPlusInfinityBits) return ops::SampleOutcome::infinite_logits;
  if (best_bits <= kMinusInfinityBits) return ops::SampleOutcome::all_banned;
  return ops::SampleOutcome::chosen;
}

__global__ void __launch_bounds__(kRowThreads, 2) sample_kernel(SampleRows rows) {
  wait_for_previous_kernel();
  allow_next_kernel();
  auto& memory = *reinterpret_cast<SelectMemory*>(dynamic_shared());
  const auto row = static_cast<int64_t>(blockIdx.x);
  const RowScores scores{rows.logits + row * rows.logits_stride, rows.num_columns};

  Rank best = kNoRank;
  bool is_nan = false;
  scores.for_each<4>([&](Rank rank) {
    best = rank > best ? rank : best;
    is_nan = is_nan || bits_of(rank) == 0;
  });
  const Rank largest = block_max(is_nan ? kAboveAllRanks : best, memory.warp_bests);
  const ops::SampleOutcome outcome = outcome_of(bits_of(largest));
  const bool is_chosen = outcome == ops::SampleOutcome::chosen;
  int32_t token = is_chosen ? static_cast<int32_t>(index_of(largest)) : 0;

  const float* const params = rows.params + row * rows.params_stride;
  if (is_chosen && params[0] > 0) {
    const Weights weights{score_of(bits_of(largest)), params[0], params[2]};
    const Rank edge = filter(scores, rows.top_k[row], params[1], weights, best, memory);
    const auto* const words = reinterpret_cast<const uint32_t*>(rows.rng + row * rows.rng_stride);
    const RaceKey key{words[0], words[1], words[2], words[3], words[4]};
    token = run_race(scores, edge, index_of(largest), weights, key, memory);
  }
  if (threadIdx.x == 0) {
    rows.tokens[row] = token;
    rows.outcomes[row] = static_cast<int32_t>(outcome);
  }
}

}  // namespace

void sample(ops::OpContext& context, const ops::SampleArgs& args) noexcept {
  const int64_t num_rows = args.logits.shape[0];
  if (num_rows == 0) return;
  const SampleRows rows{.logits = args.logits.as<const float>(),
                        .logits_stride = args.logits.row_stride,
                        .num_columns = static_cast<int>(args.logits.shape[1]),
                        .params = args.params.as<const float>(),
                        .params_stride = args.params.row_stride,
                        .top_k = args.top_k.as<const int32_t>(),
                        .rng = args.rng.as<const int32_t>(),
                        .rng_stride = args.rng.row_stride,
                        .tokens = args.tokens.as<int32_t>(),
                        .outcomes = args.outcomes.as<int32_t>()};
  launch(stream_of(context), "sample", sample_kernel,
         {.grid = dim3(static_cast<unsigned>(num_rows)),
          .block = dim3(kRowThreads),
          .shared_bytes = sizeof(SelectMemory)},
         rows);
}

}  // namespace veloz::cuda
