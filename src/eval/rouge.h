// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace veloz::eval {

/// Shares in [0, 1]; f1 is 2 p r / (p + r), or 0 where both are.
struct RougeScore {
  double precision = 0;  // of what was predicted, found in the expected text
  double recall = 0;     // of what was expected, found in the predicted text
  double f1 = 0;
};

/// ROUGE of one predicted text: C.-Y. Lin, "ROUGE: A package for automatic evaluation of
/// summaries", 2004, with the choices of Google's `rouge_score` 0.1.2, to whose numbers it is
/// tested.
struct Rouge {
  RougeScore rouge1;      // words
  RougeScore rouge2;      // pairs of neighbouring words
  RougeScore rouge_l;     // longest common subsequence of words
  RougeScore rouge_lsum;  // union of those of each expected sentence; a line is a sentence
};

enum class Stemming { none, porter };

/// Lower-cased runs of a-z and 0-9; whatever else stands between them separates. Words of more than
/// three characters are stemmed.
std::vector<std::string> rouge_words(std::string_view text, Stemming stemming);

Rouge rouge(std::string_view expected, std::string_view predicted, Stemming stemming);

}  // namespace veloz::eval
