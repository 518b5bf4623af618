// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace veloz::serving {

/// How much a step has to do.
struct StepWork {
  int64_t num_tokens = 0;
  int64_t num_rows = 0;      // of logits
  int64_t num_attended = 0;  // positions that each token attends to, of all tokens
  int64_t num_kv_read = 0;   // positions of the cache, of all sequences

  /// Adds `count` tokens of one sequence, of which `position` are in the cache.
  void add_run(int64_t position, int64_t count);
};

/// Seconds that each kind of work takes. The defaults are of no machine in particular.
struct CostCoefficients {
  double step_s = 5e-3;      // any step: the weights are read
  double token_s = 1e-3;     // a token's way through the layers
  double row_s = 1e-4;       // a row of logits and its sampling
  double attended_s = 1e-8;  // one token attending to one position
  double kv_read_s = 1e-7;   // reading one position of the cache
};

/// Predicts how long a step takes: a sum of its kinds of work, each at its price. The prices start
/// from what the engine's plan and the machine's peaks say and follow what steps really took,
/// within bounds: no measurement moves one by more than a quarter, none leaves kMaxFactor of where
/// it started. Tokens never depend on it; only how a prompt is cut does.
class CostModel {
 public:
  static constexpr double kMaxFactor = 32;

  explicit CostModel(const CostCoefficients& start);

  double predict(const StepWork& work) const;
  /// The step took so long.
  void observe(const StepWork& work, double seconds);
  /// Most tokens of a chunk, at most `wanted`, with which a step stays within `target_s`.
  /// `work_with(count)` is its work with so many, and grows with them.
  int64_t fitting_chunk(int64_t wanted, double target_s,
                        const std::function<StepWork(int64_t count)>& work_with) const;

 private:
  static constexpr size_t kNumKinds = 5;
  using Kinds = std::array<double, kNumKinds>;
  static Kinds amounts(const StepWork& work);

  const Kinds start_;
  Kinds price_;
};

}  // namespace veloz::serving
