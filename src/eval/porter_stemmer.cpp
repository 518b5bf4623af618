// SPDX-License-Identifier: Apache-2.0
#include "eval/porter_stemmer.h"

#include <algorithm>
#include <array>
#include <functional>
#include <span>
#include <utility>
#include <vector>

namespace veloz::eval {
namespace {

/// Words that NLTK maps before any rule.
struct Irregular {
  std::string_view word, stem;
};
constexpr std::array kIrregular = std::to_array<Irregular>({
    {"sky", "sky"},
    {"skies", "sky"},
    {"dying", "die"},
    {"lying", "lie"},
    {"tying", "tie"},
    {"news", "news"},
    {"innings", "inning"},
    {"inning", "inning"},
    {"outings", "outing"},
    {"outing", "outing"},
    {"cannings", "canning"},
    {"canning", "canning"},
    {"howe", "howe"},
    {"proceed", "proceed"},
    {"exceed", "exceed"},
    {"succeed", "succeed"},
});

bool is_vowel_letter(char c) { return std::string_view("aeiou").find(c) != std::string_view::npos; }

/// Per character whether it is a consonant: all but aeiou, and y only where none stands before it.
std::vector<bool> consonants(std::string_view word) {
  std::vector<bool> flags;
  for (const char c : word)
    flags.push_back(c == 'y' ? flags.empty() || !flags.back() : !is_vowel_letter(c));
  return flags;
}

/// Porter's m: how many times consonants follow vowels.
int measure(std::string_view stem) {
  const std::vector<bool> flags = consonants(stem);
  int m = 0;
  for (size_t i = 1; i < flags.size(); ++i) m += !flags[i - 1] && flags[i] ? 1 : 0;
  return m;
}

bool has_vowel(std::string_view stem) {
  return !std::ranges::all_of(consonants(stem), std::identity{});
}

bool ends_in_consonant(std::string_view word) { return !word.empty() && consonants(word).back(); }

bool ends_in_double_consonant(std::string_view word) {
  return word.size() >= 2 && word.back() == word[word.size() - 2] && ends_in_consonant(word);
}

/// Porter's *o: consonant, vowel, consonant other than w, x, y; NLTK adds two letters, vowel and
/// consonant.
bool ends_in_cvc(std::string_view word) {
  const std::vector<bool> flags = consonants(word);
  const size_t n = flags.size();
  if (n == 2) return !flags[0] && flags[1];
  return n >= 3 && flags[n - 3] && !flags[n - 2] && flags[n - 1] &&
         std::string_view("wxy").find(word.back()) == std::string_view::npos;
}

bool try_cut(std::string_view word, std::string_view suffix, std::string_view& stem) {
  if (!word.ends_with(suffix)) return false;
  stem = word.substr(0, word.size() - suffix.size());
  return true;
}

struct Rule {
  std::string_view suffix, replacement;
};

/// The first rule whose suffix is there decides; it applies where the stem's measure is above
/// `min_measure`.
std::string apply_first(std::string word, std::span<const Rule> rules, int min_measure) {
  std::string_view stem;
  for (const Rule& rule : rules) {
    if (!try_cut(word, rule.suffix, stem)) continue;
    if (measure(stem) <= min_measure) return word;
    return std::string(stem).append(rule.replacement);
  }
  return word;
}

/// Plurals.
std::string step_1a(std::string word) {
  std::string_view stem;
  if (try_cut(word, "ies", stem)) return std::string(stem) + (word.size() == 4 ? "ie" : "i");
  if (word.ends_with("ss") && !word.ends_with("sses")) return word;
  if (try_cut(word, "sses", stem)) return std::string(stem) + "ss";
  if (try_cut(word, "s", stem)) return std::string(stem);
  return word;
}

/// What is left behind "ed" and "ing" becomes a word again.
std::string mend_stem(std::string stem) {
  if (stem.ends_with("at") || stem.ends_with("bl") || stem.ends_with("iz")) return stem + 'e';
  if (ends_in_double_consonant(stem)) {
    const bool stays = std::string_view("lsz").find(stem.back()) != std::string_view::npos;
    if (!stays) stem.pop_back();
    return stem;
  }
  return measure(stem) == 1 && ends_in_cvc(stem) ? stem + 'e' : stem;
}

/// Past tense and participles.
std::string step_1b(std::string word) {
  std::string_view stem;
  if (try_cut(word, "ied", stem)) return std::string(stem) + (word.size() == 4 ? "ie" : "i");
  if (try_cut(word, "eed", stem)) return measure(stem) > 0 ? std::string(stem) + "ee" : word;
  for (const std::string_view suffix : {"ed", "ing"})
    if (try_cut(word, suffix, stem) && has_vowel(stem)) return mend_stem(std::string(stem));
  return word;
}

std::string step_1c(std::string word) {
  std::string_view stem;
  if (try_cut(word, "y", stem) && stem.size() > 1 && ends_in_consonant(stem))
    return std::string(stem) + "i";
  return word;
}

/// Double suffixes become single ones.
std::string step_2(std::string word) {
  constexpr std::array kRules = std::to_array<Rule>({
      {"ational", "ate"}, {"tional", "tion"}, {"enci", "ence"},   {"anci", "ance"},
      {"izer", "ize"},    {"bli", "ble"},     {"alli", "al"},     {"entli", "ent"},
      {"eli", "e"},       {"ousli", "ous"},   {"ization", "ize"}, {"ation", "ate"},
      {"ator", "ate"},    {"alism", "al"},    {"iveness", "ive"}, {"fulness", "ful"},
      {"ousness", "ous"}, {"aliti", "al"},    {"iviti", "ive"},   {"biliti", "ble"},
      {"fulli", "ful"},
  });
  std::string_view stem;
  if (try_cut(word, "alli", stem) && measure(stem) > 0) return step_2(std::string(stem) + "al");
  // The l counts as part of the stem here: "geologi" as well as "theologi".
  if (try_cut(word, "ogi", stem) && stem.ends_with('l'))
    return measure(stem) > 0 ? std::string(stem) + "og" : word;
  return apply_first(std::move(word), kRules, 0);
}

std::string step_3(std::string word) {
  constexpr std::array kRules = std::to_array<Rule>({
      {"icate", "ic"},
      {"ative", ""},
      {"alize", "al"},
      {"iciti", "ic"},
      {"ical", "ic"},
      {"ful", ""},
      {"ness", ""},
  });
  return apply_first(std::move(word), kRules, 0);
}

/// Single suffixes go.
std::string step_4(std::string word) {
  constexpr std::array kRules = std::to_array<Rule>({
      {"al", ""},
      {"ance", ""},
      {"ence", ""},
      {"er", ""},
      {"ic", ""},
      {"able", ""},
      {"ible", ""},
      {"ant", ""},
      {"ement", ""},
      {"ment", ""},
      {"ent", ""},
      {"ou", ""},
      {"ism", ""},
      {"ate", ""},
      {"iti", ""},
      {"ous", ""},
      {"ive", ""},
      {"ize", ""},
  });
  std::string_view stem;
  if (try_cut(word, "ion", stem)) {
    const bool goes = measure(stem) > 1 && (stem.back() == 's' || stem.back() == 't');
    return goes ? std::string(stem) : word;
  }
  return apply_first(std::move(word), kRules, 1);
}

std::string step_5(std::string word) {
  if (word.ends_with('e')) {
    const std::string_view stem = std::string_view(word).substr(0, word.size() - 1);
    const int m = measure(stem);
    if (m > 1 || (m == 1 && !ends_in_cvc(stem))) word.pop_back();
  }
  if (word.ends_with("ll") && measure(std::string_view(word).substr(0, word.size() - 1)) > 1)
    word.pop_back();
  return word;
}

}  // namespace

std::string porter_stem(std::string_view word) {
  const auto* const irregular = std::ranges::find(kIrregular, word, &Irregular::word);
  if (irregular != kIrregular.end()) return std::string(irregular->stem);
  if (word.size() <= 2) return std::string(word);
  return step_5(step_4(step_3(step_2(step_1c(step_1b(step_1a(std::string(word))))))));
}

}  // namespace veloz::eval
