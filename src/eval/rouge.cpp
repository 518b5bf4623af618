// SPDX-License-Identifier: Apache-2.0
#include "eval/rouge.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <unordered_map>
#include <utility>

#include "eval/porter_stemmer.h"

namespace veloz::eval {
namespace {

using WordId = uint32_t;
using Words = std::vector<WordId>;

/// Numbers for words: comparing them is what takes the time.
class Vocabulary {
 public:
  Words ids_of(std::string_view text, Stemming stemming) {
    Words ids;
    for (std::string& word : rouge_words(text, stemming))
      ids.push_back(
          ids_.try_emplace(std::move(word), static_cast<WordId>(ids_.size())).first->second);
    return ids;
  }

 private:
  std::unordered_map<std::string, WordId> ids_;
};

RougeScore score_of(size_t num_hits, size_t num_expected, size_t num_predicted) {
  if (num_expected == 0 || num_predicted == 0) return {};
  const auto hits = static_cast<double>(num_hits);
  RougeScore score{.precision = hits / static_cast<double>(num_predicted),
                   .recall = hits / static_cast<double>(num_expected)};
  const double sum = score.precision + score.recall;
  if (sum > 0) score.f1 = 2 * score.precision * score.recall / sum;
  return score;
}

RougeScore ngram_score(const Words& expected, const Words& predicted, size_t n) {
  const auto count = [n](const Words& words) {
    std::map<Words, std::ptrdiff_t> counts;
    for (size_t i = 0; i + n <= words.size(); ++i)
      ++counts[Words(words.begin() + static_cast<std::ptrdiff_t>(i),
                     words.begin() + static_cast<std::ptrdiff_t>(i + n))];
    return counts;
  };
  const auto expected_counts = count(expected);
  const auto predicted_counts = count(predicted);
  std::ptrdiff_t num_hits = 0;
  for (const auto& [ngram, times] : expected_counts)
    if (const auto found = predicted_counts.find(ngram); found != predicted_counts.end())
      num_hits += std::min(times, found->second);
  const auto num_ngrams = [n](const Words& words) {
    return words.size() >= n ? words.size() - n + 1 : 0;
  };
  return score_of(static_cast<size_t>(num_hits), num_ngrams(expected), num_ngrams(predicted));
}

/// Length of the longest common subsequence, a row of the usual table at a time.
size_t common_length(const Words& expected, const Words& predicted) {
  std::vector<size_t> row(predicted.size() + 1, 0);
  for (const WordId word : expected) {
    size_t diagonal = 0;
    for (size_t j = 0; j < predicted.size(); ++j) {
      const size_t above = row[j + 1];
      row[j + 1] = word == predicted[j] ? diagonal + 1 : std::max(above, row[j]);
      diagonal = above;
    }
  }
  return row.back();
}

/// Where one step of the way back through the table of common subsequences leads.
enum class Back : uint8_t { match, predicted, expected };

/// Marks in `is_common` the words of `expected` that are in a longest common subsequence: of
/// several the one that rouge_score finds, going back from the end and, where both ways are as
/// long, along `expected`.
void mark_common(const Words& expected, const Words& predicted, std::vector<bool>& is_common) {
  const size_t columns = predicted.size();
  std::vector<Back> back(expected.size() * columns);
  std::vector<size_t> row(columns + 1, 0);
  for (size_t i = 0; i < expected.size(); ++i) {
    size_t diagonal = 0;
    for (size_t j = 0; j < columns; ++j) {
      const size_t above = row[j + 1];
      const bool is_match = expected[i] == predicted[j];
      back[i * columns + j] = is_match         ? Back::match
                              : row[j] > above ? Back::predicted
                                               : Back::expected;
      row[j + 1] = is_match ? diagonal + 1 : std::max(above, row[j]);
      diagonal = above;
    }
  }
  for (size_t i = expected.size(), j = columns; i > 0 && j > 0;) {
    const Back step = back[(i - 1) * columns + j - 1];
    if (step == Back::match) is_common[i - 1] = true;
    if (step != Back::predicted) --i;
    if (step != Back::expected) --j;
  }
}

/// The words of each line of `text`, lines that are empty left out.
std::vector<Words> sentences_of(std::string_view text, Vocabulary& vocabulary, Stemming stemming) {
  std::vector<Words> sentences;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    if (end > begin)
      sentences.push_back(vocabulary.ids_of(text.substr(begin, end - begin), stemming));
    begin = end + 1;
  }
  return sentences;
}

size_t count_words(std::span<const Words> sentences) {
  size_t count = 0;
  for (const Words& sentence : sentences) count += sentence.size();
  return count;
}

/// Each expected sentence against all predicted ones; a word counts at most as often as it is in
/// both texts.
RougeScore summary_score(std::span<const Words> expected, std::span<const Words> predicted) {
  std::unordered_map<WordId, int64_t> left_expected, left_predicted;
  for (const Words& sentence : expected)
    for (const WordId word : sentence) ++left_expected[word];
  for (const Words& sentence : predicted)
    for (const WordId word : sentence) ++left_predicted[word];
  size_t num_hits = 0;
  for (const Words& sentence : expected) {
    std::vector<bool> is_common(sentence.size(), false);
    for (const Words& other : predicted) mark_common(sentence, other, is_common);
    for (size_t i = 0; i < sentence.size(); ++i) {
      if (!is_common[i] || left_expected[sentence[i]] == 0 || left_predicted[sentence[i]] == 0)
        continue;
      --left_expected[sentence[i]];
      --left_predicted[sentence[i]];
      ++num_hits;
    }
  }
  return score_of(num_hits, count_words(expected), count_words(predicted));
}

/// The letter or digit, in lower case, that `text` begins with, and its bytes; 0 for anything else,
/// which separates words.
std::pair<char, size_t> first_word_character(std::string_view text) {
  const char c = text.front();
  if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) return {c, 1};
  if (c >= 'A' && c <= 'Z') return {static_cast<char>(c - 'A' + 'a'), 1};
  // The two characters beyond ASCII whose lower case is, or begins with, a letter of ASCII.
  if (text.starts_with("\u212A")) return {'k', 3};
  if (text.starts_with("\u0130")) return {'i', 2};
  return {'\0', 1};
}

}  // namespace

std::vector<std::string> rouge_words(std::string_view text, Stemming stemming) {
  constexpr size_t kLongestUnstemmed = 3;
  std::vector<std::string> words;
  std::string word;
  const auto end_word = [&] {
    if (word.empty()) return;
    const bool is_stemmed = stemming == Stemming::porter && word.size() > kLongestUnstemmed;
    words.push_back(is_stemmed ? porter_stem(word) : std::move(word));
    word.clear();
  };
  while (!text.empty()) {
    const auto [character, bytes] = first_word_character(text);
    if (character == '\0')
      end_word();
    else
      word += character;
    // U+0130 becomes i and a combining dot, which separates.
    if (character == 'i' && bytes == 2) end_word();
    text.remove_prefix(bytes);
  }
  end_word();
  return words;
}

Rouge rouge(std::string_view expected, std::string_view predicted, Stemming stemming) {
  Vocabulary vocabulary;
  const Words left = vocabulary.ids_of(expected, stemming);
  const Words right = vocabulary.ids_of(predicted, stemming);
  const std::vector<Words> left_sentences = sentences_of(expected, vocabulary, stemming);
  const std::vector<Words> right_sentences = sentences_of(predicted, vocabulary, stemming);
  return {.rouge1 = ngram_score(left, right, 1),
          .rouge2 = ngram_score(left, right, 2),
          .rouge_l = score_of(common_length(left, right), left.size(), right.size()),
          .rouge_lsum = summary_score(left_sentences, right_sentences)};
}

}  // namespace veloz::eval
