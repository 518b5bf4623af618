// SPDX-License-Identifier: Apache-2.0
#include "eval/token_metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace veloz::eval {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
using Logits = std::vector<float>;

/// Logits of these probabilities, moved by `shift`, which no softmax sees.
Logits logits_of(const std::vector<double>& probabilities, double shift) {
  Logits logits;
  for (const double p : probabilities) logits.push_back(static_cast<float>(std::log(p) + shift));
  return logits;
}

TEST(LogProbability, IsThatOfTheSoftmax) {
  const Logits logits = logits_of({0.5, 0.25, 0.25}, 3);
  EXPECT_NEAR(log_probability(logits, 0), std::log(0.5), 1e-6);
  EXPECT_NEAR(log_probability(logits, 2), std::log(0.25), 1e-6);
}

TEST(LogProbability, BearsLogitsWhoseExponentialsOverflow) {
  EXPECT_NEAR(log_probability(Logits{1000, 1000}, 1), std::log(0.5), 1e-12);
  EXPECT_DOUBLE_EQ(log_probability(Logits{1000, 0}, 1), -1000);
  EXPECT_DOUBLE_EQ(log_probability(Logits{0, -kInfinity}, 0), 0);
}

TEST(LogProbability, IsNanWhereTheLogitsMeanNothing) {
  EXPECT_TRUE(std::isnan(log_probability(Logits{0, kNan}, 0)));
  EXPECT_TRUE(std::isnan(log_probability(Logits{-kInfinity, -kInfinity}, 0)));
  EXPECT_TRUE(std::isnan(log_probability(Logits{kInfinity, 0}, 1)));
}

TEST(ComparePosition, GivesTheDivergenceFromTheReference) {
  // KL(p || q) = 0.5 ln(0.5 / 0.8) + 0.5 ln(0.5 / 0.2)
  const double kl = 0.5 * std::log(0.5 / 0.8) + 0.5 * std::log(0.5 / 0.2);
  const PositionScore score =
      compare_position(logits_of({0.8, 0.2}, -2), logits_of({0.5, 0.5}, 7), 1);
  EXPECT_NEAR(score.kl, kl, 1e-6);
  EXPECT_NEAR(score.nll, -std::log(0.2), 1e-6);
  EXPECT_NEAR(score.reference_nll, -std::log(0.5), 1e-6);
}

TEST(ComparePosition, OfAModelWithItselfIsZero) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 5);
  Logits logits(1000);
  for (float& x : logits) x = normal(random);
  const PositionScore score = compare_position(logits, logits, 17);
  EXPECT_EQ(score.kl, 0);
  EXPECT_EQ(score.nll, score.reference_nll);
  EXPECT_TRUE(score.has_same_top);
}

TEST(ComparePosition, AgreesWithTheFormulaOnRandomLogits) {
  std::mt19937 random(2);
  std::normal_distribution<float> normal(0, 3);
  Logits q(257);
  Logits p(257);
  for (float& x : q) x = normal(random);
  for (float& x : p) x = normal(random);
  long double q_sum = 0;
  long double p_sum = 0;
  for (const float x : q) q_sum += std::exp(static_cast<long double>(x));
  for (const float x : p) p_sum += std::exp(static_cast<long double>(x));
  long double kl = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    const long double pi = std::exp(static_cast<long double>(p[i])) / p_sum;
    kl += pi * std::log(pi * q_sum / std::exp(static_cast<long double>(q[i])));
  }
  EXPECT_NEAR(compare_position(q, p, 0).kl, static_cast<double>(kl), 1e-12);
}

TEST(ComparePosition, TakesTheLowestOfTokensThatAreEquallyLikely) {
  EXPECT_TRUE(compare_position(Logits{1, 2, 2}, Logits{0, 9, 1}, 0).has_same_top);
  EXPECT_FALSE(compare_position(Logits{1, 2, 2}, Logits{0, 1, 9}, 0).has_same_top);
}

TEST(ComparePosition, LosesEverythingWhereTheModelExcludesWhatTheReferenceSays) {
  EXPECT_EQ(compare_position(Logits{0, -kInfinity}, Logits{0, 0}, 0).kl, kInfinity);
  EXPECT_NEAR(compare_position(Logits{0, 0}, Logits{0, -kInfinity}, 0).kl, std::log(2), 1e-12);
}

TEST(ComparePosition, IsNanWhereEitherIs) {
  EXPECT_TRUE(std::isnan(compare_position(Logits{0, kNan}, Logits{0, 0}, 0).kl));
  EXPECT_TRUE(std::isnan(compare_position(Logits{0, 0}, Logits{kNan, 0}, 0).kl));
}

TEST(Likelihood, IsAMeanOverTokens) {
  Likelihood likelihood;
  EXPECT_EQ(likelihood.mean_nll(), 0);
  likelihood.add(std::log(2));
  likelihood.add(std::log(8));
  EXPECT_EQ(likelihood.num_tokens(), 2);
  EXPECT_DOUBLE_EQ(likelihood.mean_nll(), std::log(4));
  EXPECT_DOUBLE_EQ(likelihood.perplexity(), 4);
}

TEST(Likelihood, KeepsWhatIsNotFiniteInTheMean) {
  Likelihood likelihood;
  likelihood.add(1);
  likelihood.add(static_cast<double>(kNan));
  likelihood.add(static_cast<double>(kInfinity));
  EXPECT_EQ(likelihood.num_not_finite(), 2);
  EXPECT_TRUE(std::isnan(likelihood.perplexity()));
}

TEST(Agreement, CountsPositions) {
  Agreement agreement;
  EXPECT_EQ(agreement.top1(), 0);
  agreement.add({.kl = 0.5, .has_same_top = true});
  agreement.add({.kl = 0.25, .has_same_top = true});
  agreement.add({.kl = 0, .has_same_top = false});
  agreement.add({.kl = 0.25, .has_same_top = true});
  EXPECT_EQ(agreement.num_positions(), 4);
  EXPECT_DOUBLE_EQ(agreement.mean_kl(), 0.25);
  EXPECT_DOUBLE_EQ(agreement.max_kl(), 0.5);
  EXPECT_DOUBLE_EQ(agreement.top1(), 0.75);
}

TEST(Agreement, OnceNotANumberStaysNotANumber) {
  Agreement agreement;
  agreement.add({.kl = static_cast<double>(kNan)});
  agreement.add({.kl = 1});
  EXPECT_TRUE(std::isnan(agreement.mean_kl()));
  EXPECT_TRUE(std::isnan(agreement.max_kl()));
}

}  // namespace
}  // namespace veloz::eval
