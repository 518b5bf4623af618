// SPDX-License-Identifier: Apache-2.0
#include "eval/token_metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace veloz::eval {
namespace {

/// ln sum exp(logits), and which is largest (the first of equals); NaN where a logit is NaN or the
/// largest is not finite.
struct Normaliser {
  double log_sum = std::numeric_limits<double>::quiet_NaN();
  size_t top = 0;
};

Normaliser normaliser_of(std::span<const float> logits) {
  Normaliser result;
  const bool has_nan = std::ranges::any_of(logits, [](float x) { return std::isnan(x); });
  if (has_nan || logits.empty()) return result;
  result.top = static_cast<size_t>(std::ranges::max_element(logits) - logits.begin());
  const double largest = logits[result.top];
  if (!std::isfinite(largest)) return result;
  double sum = 0;
  for (const float x : logits) sum += std::exp(static_cast<double>(x) - largest);
  result.log_sum = largest + std::log(sum);
  return result;
}

/// A share of a sum; 0 of nothing.
double mean_of(double sum, int64_t count) {
  return count == 0 ? 0 : sum / static_cast<double>(count);
}

}  // namespace

double log_probability(std::span<const float> logits, size_t token) {
  VELOZ_CHECK(token < logits.size(), "token {} of {}", token, logits.size());
  return static_cast<double>(logits[token]) - normaliser_of(logits).log_sum;
}

PositionScore compare_position(std::span<const float> logits,
                               std::span<const float> reference_logits, size_t next_token) {
  VELOZ_CHECK(logits.size() == reference_logits.size() && next_token < logits.size(),
              "token {} of {} and {} logits", next_token, logits.size(), reference_logits.size());
  const Normaliser q = normaliser_of(logits);
  const Normaliser p = normaliser_of(reference_logits);
  double kl = std::isnan(q.log_sum + p.log_sum) ? q.log_sum + p.log_sum : 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double log_p = static_cast<double>(reference_logits[i]) - p.log_sum;
    const double log_q = static_cast<double>(logits[i]) - q.log_sum;
    const double probability = std::exp(log_p);
    if (probability > 0) kl += probability * (log_p - log_q);
  }
  return {.nll = q.log_sum - static_cast<double>(logits[next_token]),
          .reference_nll = p.log_sum - static_cast<double>(reference_logits[next_token]),
          .kl = kl < 0 ? 0 : kl,  // rounding; NaN stays
          .has_same_top = q.top == p.top};
}

void Likelihood::add(double nll) {
  sum_ += nll;
  ++num_tokens_;
  if (!std::isfinite(nll)) ++num_not_finite_;
}

double Likelihood::mean_nll() const { return mean_of(sum_, num_tokens_); }
double Likelihood::perplexity() const { return std::exp(mean_nll()); }

void Agreement::add(const PositionScore& position) {
  kl_sum_ += position.kl;
  if (position.kl > max_kl_ || std::isnan(position.kl)) max_kl_ = position.kl;
  num_same_top_ += position.has_same_top ? 1 : 0;
  ++num_positions_;
}

double Agreement::mean_kl() const { return mean_of(kl_sum_, num_positions_); }
double Agreement::top1() const {
  return mean_of(static_cast<double>(num_same_top_), num_positions_);
}

}  // namespace veloz::eval
