// SPDX-License-Identifier: Apache-2.0
#include "text/bpe.h"

#include <fmt/format.h>

#include <queue>
#include <tuple>

#include "base/error.h"
#include "text/utf8.h"

namespace veloz::text {

Bpe::Bpe(std::unordered_map<std::string, int32_t> vocab,
         const std::vector<std::pair<std::string, std::string>>& merges, BpeOptions options)
    : vocab_(std::move(vocab)), options_(std::move(options)) {
  const auto id_of = [&](const std::string& token, size_t merge) {
    const auto found = vocab_.find(token);
    if (found == vocab_.end())
      throw Error(ErrorKind::corrupt_data,
                  fmt::format("merge {} (\"{}\" + \"{}\") names \"{}\", which is no token", merge,
                              merges[merge].first, merges[merge].second, token),
                  "vocabulary and merges come from different tokenizers");
    return found->second;
  };
  for (size_t i = 0; i < merges.size(); ++i) {
    const int32_t left = id_of(merges[i].first, i);
    const int32_t right = id_of(merges[i].second, i);
    const int32_t result = id_of(merges[i].first + merges[i].second, i);
    // Of a pair that is listed twice the last rank counts, as in Hugging Face's tokenizers.
    merges_.insert_or_assign(pair_key(left, right), Merge{static_cast<int32_t>(i), result});
  }
  if (options_.unk_token) {
    unk_id_ = token_id(*options_.unk_token);
    if (!unk_id_)
      throw Error(ErrorKind::corrupt_data,
                  fmt::format("unk_token \"{}\" is no token", *options_.unk_token));
  }
}

std::optional<int32_t> Bpe::token_id(const std::string& token) const {
  const auto found = vocab_.find(token);
  if (found == vocab_.end()) return std::nullopt;
  return found->second;
}

void Bpe::encode(std::string_view piece, std::vector<int32_t>& ids) const {
  if (piece.empty()) return;
  if (options_.ignore_merges) {
    if (const std::optional<int32_t> whole = token_id(std::string(piece))) {
      ids.push_back(*whole);
      return;
    }
  }
  std::vector<int32_t> symbols;
  append_initial(piece, symbols);
  merge(symbols);
  ids.insert(ids.end(), symbols.begin(), symbols.end());
}

void Bpe::append_initial(std::string_view piece, std::vector<int32_t>& symbols) const {
  bool has_unknown = false;  // one that is not written yet: bytes may overtake it, as they do in
                             // Hugging Face's tokenizers
  const auto write_unknown = [&] {
    if (has_unknown) symbols.push_back(*unk_id_);
    has_unknown = false;
  };
  while (!piece.empty()) {
    const std::string character(piece.substr(0, std::max<size_t>(1, utf8_length(piece))));
    piece.remove_prefix(character.size());
    if (const std::optional<int32_t> id = token_id(character)) {
      write_unknown();
      symbols.push_back(*id);
      continue;
    }
    if (options_.byte_fallback) {
      std::vector<int32_t> bytes;
      for (const char byte : character)
        if (const auto id = token_id(fmt::format("<0x{:02X}>", static_cast<uint8_t>(byte))))
          bytes.push_back(*id);
      if (bytes.size() == character.size()) {
        symbols.insert(symbols.end(), bytes.begin(), bytes.end());
        continue;
      }
    }
    if (!options_.fuse_unk) write_unknown();
    // Without an unknown token, what the vocabulary lacks is dropped, as Hugging Face does.
    has_unknown = unk_id_.has_value();
  }
  write_unknown();
}

void Bpe::merge(std::vector<int32_t>& symbols) const {
  const auto count = static_cast<int32_t>(symbols.size());
  constexpr int32_t kNone = -1;
  std::vector<int32_t> next(symbols.size()), previous(symbols.size());
  for (int32_t i = 0; i < count; ++i) {
    next[static_cast<size_t>(i)] = i + 1 < count ? i + 1 : kNone;
    previous[static_cast<size_t>(i)] = i - 1;
  }
  // Candidates by (rank, place); one that no longer matches its symbols is skipped when it comes
  // up.
  using Candidate = std::tuple<int32_t, int32_t, int32_t, int32_t>;  // rank, place, left, right
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto at = [](auto& list, int32_t i) -> auto& { return list[static_cast<size_t>(i)]; };
  const auto consider = [&](int32_t place) {
    if (place == kNone || at(next, place) == kNone) return;
    const int32_t left = at(symbols, place);
    const int32_t right = at(symbols, at(next, place));
    const auto found = merges_.find(pair_key(left, right));
    if (found != merges_.end()) queue.emplace(found->second.rank, place, left, right);
  };
  for (int32_t i = 0; i < count; ++i) consider(i);
  constexpr int32_t kGone = -2;
  while (!queue.empty()) {
    const auto [rank, place, left, right] = queue.top();
    queue.pop();
    const int32_t second = at(next, place);
    if (at(symbols, place) != left || second == kNone || at(symbols, second) != right) continue;
    at(symbols, place) = merges_.at(pair_key(left, right)).result;
    at(symbols, second) = kGone;
    at(next, place) = at(next, second);
    if (at(next, place) != kNone) at(previous, at(next, place)) = place;
    consider(at(previous, place));
    consider(place);
  }
  std::erase(symbols, kGone);
}

}  // namespace veloz::text
