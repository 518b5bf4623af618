// SPDX-License-Identifier: Apache-2.0
#include "cuda/cublaslt/autotune.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/error.h"

namespace veloz::cuda {
namespace {

constexpr int kMaxCandidates = 12;
constexpr int kBriefSamples = 3;
constexpr size_t kNumFinalists = 3;
constexpr int kFinalSamples = 9;

struct Timed {
  GemmAlgorithm algorithm;
  double seconds;
};

/// What runs of `algorithms`, fastest first.
std::vector<Timed> time_all(const Gemm& gemm, std::vector<GemmAlgorithm> algorithms,
                            int num_samples, GemmTimer& timer) {
  std::vector<Timed> timed;
  for (GemmAlgorithm& algorithm : algorithms) {
    try {
      const double seconds = timer.seconds(gemm, algorithm, num_samples);
      timed.push_back({std::move(algorithm), seconds});
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::unsupported) throw;
    }
  }
  std::ranges::stable_sort(timed, {}, &Timed::seconds);
  return timed;
}

/// The first few of `timed` that will do.
std::vector<GemmAlgorithm> finalists_of(const Gemm& gemm, std::vector<Timed> timed,
                                        GemmTimer& timer) {
  std::vector<GemmAlgorithm> finalists;
  for (Timed& candidate : timed) {
    if (finalists.size() == kNumFinalists) break;
    if (!gemm.same_bits || timer.has_our_bits(gemm, candidate.algorithm))
      finalists.push_back(std::move(candidate.algorithm));
  }
  return finalists;
}

}  // namespace

std::optional<TunedGemm> autotune(const Gemm& gemm, GemmTimer& timer) {
  std::vector<Timed> timed =
      time_all(gemm, timer.candidates(gemm, kMaxCandidates), kBriefSamples, timer);
  if (timed.size() > 1 || gemm.same_bits)
    timed = time_all(gemm, finalists_of(gemm, std::move(timed), timer), kFinalSamples, timer);
  if (gemm.same_bits) {
    const double ours = timer.our_seconds(gemm, kFinalSamples);
    if (timed.empty() || timed.front().seconds >= ours) return TunedGemm{{}, ours * 1e6};
  }
  if (timed.empty()) return std::nullopt;
  return TunedGemm{std::move(timed.front().algorithm), timed.front().seconds * 1e6};
}

TuneReport tune_missing(std::span<const Gemm> gemms, TuningCache& cache, GemmTimer& timer) {
  TuneReport report;
  std::set<std::string> seen;
  for (Gemm gemm : gemms) {
    gemm.tokens = token_bucket(gemm.tokens);
    if (!seen.insert(to_string(gemm)).second) continue;
    if (cache.find(gemm) != nullptr) {
      ++report.num_known;
      continue;
    }
    std::optional<TunedGemm> tuned = autotune(gemm, timer);
    if (tuned) {
      report.num_ours += static_cast<int>(tuned->algorithm.is_ours());
      ++report.num_tuned;
      cache.put(gemm, std::move(*tuned));
    } else {
      report.notices.push_back(
          fmt::format("the library has no way to compute {}", to_string(gemm)));
    }
  }
  return report;
}

}  // namespace veloz::cuda
