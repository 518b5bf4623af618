// SPDX-License-Identifier: Apache-2.0
#include "text/detokenizer.h"

#include <algorithm>

namespace veloz::text {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

enum class Utf8State { complete, incomplete, invalid };

// Whether `bytes`, at most one character long, are a character or may become one (table 3-7 of the
// Unicode standard).
Utf8State utf8_state(std::string_view bytes) {
  const auto at = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  const uint8_t lead = at(0);
  if (lead < 0x80) return Utf8State::complete;
  if (lead < 0xC2 || lead > 0xF4) return Utf8State::invalid;
  const size_t size = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  if (bytes.size() > 1) {
    const uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    const uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (at(1) < low || at(1) > high) return Utf8State::invalid;
  }
  for (size_t i = 2; i < bytes.size(); ++i)
    if ((at(i) & 0xC0) != 0x80) return Utf8State::invalid;
  return bytes.size() == size ? Utf8State::complete : Utf8State::incomplete;
}

void append_replacements(std::string& out, size_t count) {
  for (size_t i = 0; i < count; ++i) out += kReplacement;
}

}  // namespace

// The longest start of a character becomes one U+FFFD when a byte does not continue it.
void Detokenizer::push_lossy(uint8_t byte, std::string& out) {
  pending_ += static_cast<char>(byte);
  Utf8State state = utf8_state(pending_);
  if (state == Utf8State::invalid && pending_.size() > 1) {
    out += kReplacement;
    pending_.assign(1, static_cast<char>(byte));
    state = utf8_state(pending_);
  }
  if (state == Utf8State::incomplete) return;
  if (state == Utf8State::complete)
    out += pending_;
  else
    out += kReplacement;
  pending_.clear();
}

// Nothing of a run is certain while it is open: one bad byte at its end spoils all of it.
void Detokenizer::push_run(uint8_t byte, std::string& out) {
  pending_ += static_cast<char>(byte);
  if (!is_run_invalid_) {
    ++num_incomplete_;
    const Utf8State state =
        utf8_state(std::string_view(pending_).substr(pending_.size() - num_incomplete_));
    if (state == Utf8State::complete) num_incomplete_ = 0;
    is_run_invalid_ = state == Utf8State::invalid;
  }
  if (!is_run_invalid_) return;
  append_replacements(out, pending_.size());
  pending_.clear();
}

void Detokenizer::end_run(std::string& out) {
  if (num_incomplete_ == 0 && !is_run_invalid_)
    out += pending_;
  else
    append_replacements(out, pending_.size());
  pending_.clear();
  num_incomplete_ = 0;
  is_run_invalid_ = false;
}

// A byte that starts no character is one U+FFFD, and the next one is looked at anew.
void Detokenizer::push_per_character(uint8_t byte, std::string& out) {
  pending_ += static_cast<char>(byte);
  while (!pending_.empty()) {
    size_t size = 1;
    while (size < pending_.size() &&
           utf8_state(std::string_view(pending_).substr(0, size)) == Utf8State::incomplete)
      ++size;
    const Utf8State state = utf8_state(std::string_view(pending_).substr(0, size));
    if (state == Utf8State::incomplete) return;
    if (state == Utf8State::complete) {
      out.append(pending_, 0, size);
      pending_.erase(0, size);
    } else {
      out += kReplacement;
      pending_.erase(0, 1);
    }
  }
}

// No token that follows continues the bytes that are held.
void Detokenizer::end_bytes(std::string& out) {
  switch (rules_.bytes) {
    case JoinRules::Bytes::lossy:
      if (!pending_.empty()) out += kReplacement;
      break;
    case JoinRules::Bytes::whole_run:
      return end_run(out);
    case JoinRules::Bytes::per_character:
      append_replacements(out, pending_.size());
      break;
  }
  pending_.clear();
}

std::string Detokenizer::strip_start(std::string text) {
  if (is_start_over_ || text.empty()) return text;
  size_t num_spaces = 0;
  while (num_spaces < text.size() && text[num_spaces] == ' ' &&
         num_stripped_ < rules_.num_leading_spaces_stripped) {
    ++num_spaces;
    ++num_stripped_;
  }
  is_start_over_ = num_spaces < text.size();
  return text.substr(num_spaces);
}

std::string Detokenizer::push(int32_t id) {
  if (!pieces_.has_token(id)) return {};
  if (special_ == SpecialTokens::skip && pieces_.is_special(id)) return {};
  const bool is_start = rules_.start == JoinRules::Start::first_token
                            ? !has_token_
                            : !has_text_ && !has_dropped_space_;
  const TokenPiece piece = pieces_.piece(id, is_start);
  has_token_ = true;
  has_text_ |= !piece.text.empty();
  has_dropped_space_ |= piece.dropped_space;
  std::string out;
  if (rules_.bytes == JoinRules::Bytes::lossy) {
    for (const char byte : piece.text) push_lossy(static_cast<uint8_t>(byte), out);
  } else if (!piece.is_byte) {
    end_bytes(out);
    out += piece.text;
  } else if (rules_.bytes == JoinRules::Bytes::whole_run) {
    for (const char byte : piece.text) push_run(static_cast<uint8_t>(byte), out);
  } else {
    for (const char byte : piece.text) push_per_character(static_cast<uint8_t>(byte), out);
  }
  return strip_start(std::move(out));
}

std::string Detokenizer::finish() {
  std::string out;
  end_bytes(out);
  return strip_start(std::move(out));
}

std::string decode_all(const TokenPieces& pieces, std::span<const int32_t> ids,
                       SpecialTokens special) {
  Detokenizer detokenizer(pieces, special);
  std::string text;
  for (const int32_t id : ids) text += detokenizer.push(id);
  return text + detokenizer.finish();
}

}  // namespace veloz::text
