// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cuda/cublaslt/tuning_cache.h"

namespace veloz::cuda {

/// What the autotuner asks of a library, or of a test's pretended one.
class GemmTimer {
 public:
  virtual ~GemmTimer() = default;
  /// At most `at_most` ways to compute a product, the library's own guess first; none where it
  /// cannot.
  virtual std::vector<GemmAlgorithm> candidates(const Gemm& gemm, int at_most) = 0;
  /// Median seconds of one product with weights that are in no cache, of `num_samples`. Throws
  /// Error(unsupported) where the algorithm does not run after all.
  virtual double seconds(const Gemm& gemm, const GemmAlgorithm& algorithm, int num_samples) = 0;
  /// The same of our own kernel.
  virtual double our_seconds(const Gemm& gemm, int num_samples) = 0;
  /// Whether all results of the algorithm have the bits of our own kernel's, on random operands.
  virtual bool has_our_bits(const Gemm& gemm, const GemmAlgorithm& algorithm) = 0;
};

/// The fastest candidate: all are timed briefly, then the best few again and longer. Of equally
/// fast ones the library's order decides. Nothing where none runs. Where only our bits will do, the
/// best few are those that have them, and our own kernel is the one to beat.
std::optional<TunedGemm> autotune(const Gemm& gemm, GemmTimer& timer);

struct TuneReport {
  int num_tuned = 0;
  int num_ours = 0;   // of the tuned: our own kernel stays
  int num_known = 0;  // they were in the cache
  std::vector<std::string> notices{};
};

/// Tunes what the cache lacks of `gemms` at their buckets, each bucket once, into the cache.
TuneReport tune_missing(std::span<const Gemm> gemms, TuningCache& cache, GemmTimer& timer);

}  // namespace veloz::cuda
