// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace veloz::eval {

/// Natural logarithm of softmax(logits)[token]. NaN where a logit is NaN or none is finite; minus
/// infinity for a token whose logit is. Sums in fp64.
double log_probability(std::span<const float> logits, size_t token);

/// One position of a text, given to a model and to the one it is compared with.
struct PositionScore {
  double nll = 0;             // -ln q(next token), q the model's distribution; nats
  double reference_nll = 0;   // -ln p(next token), p the reference's
  double kl = 0;              // KL(p || q) = sum_t p_t (ln p_t - ln q_t), nats; 0 for equal logits
  bool has_same_top = false;  // both find the same token likeliest; of equal logits the lowest id
};

/// logits, reference_logits [V] fp32; next_token in [0, V). KL and its direction as S. Kullback and
/// R. A. Leibler, "On information and sufficiency", 1951, have them: what is lost where q stands
/// for p. NaN where log_probability gives NaN.
PositionScore compare_position(std::span<const float> logits,
                               std::span<const float> reference_logits, size_t next_token);

/// Negative log-likelihood of texts, summed in the order of `add`.
class Likelihood {
 public:
  void add(double nll);
  int64_t num_tokens() const { return num_tokens_; }
  /// Positions whose nll was NaN or infinite. They stay in the mean and make it so.
  int64_t num_not_finite() const { return num_not_finite_; }
  /// Nats per token; 0 of nothing.
  double mean_nll() const;
  /// exp(mean_nll): F. Jelinek et al., "Perplexity - a measure of the difficulty of speech
  /// recognition tasks", 1977, per token of this model's tokenizer.
  double perplexity() const;

 private:
  double sum_ = 0;
  int64_t num_tokens_ = 0;
  int64_t num_not_finite_ = 0;
};

/// How far two models agree, over positions.
class Agreement {
 public:
  void add(const PositionScore& position);
  int64_t num_positions() const { return num_positions_; }
  double mean_kl() const;
  double max_kl() const { return max_kl_; }
  /// Share of positions with has_same_top, [0, 1].
  double top1() const;

 private:
  double kl_sum_ = 0;
  double max_kl_ = 0;
  int64_t num_same_top_ = 0;
  int64_t num_positions_ = 0;
};

}  // namespace veloz::eval
