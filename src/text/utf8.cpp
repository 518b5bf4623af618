// SPDX-License-Identifier: Apache-2.0
#include "text/utf8.h"

#include <algorithm>

namespace veloz::text {
namespace {

/// What the first byte of a sequence allows: its length, and the range of the second byte (Unicode,
/// table 3-7).
struct Lead {
  size_t length = 0;
  uint8_t low = 0x80;
  uint8_t high = 0xbf;
};

Lead lead_of(uint8_t byte) {
  if (byte < 0x80) return {1};
  if (byte >= 0xc2 && byte <= 0xdf) return {2};
  if (byte == 0xe0) return {3, 0xa0, 0xbf};
  if (byte == 0xed) return {3, 0x80, 0x9f};
  if (byte >= 0xe1 && byte <= 0xef) return {3};
  if (byte == 0xf0) return {4, 0x90, 0xbf};
  if (byte >= 0xf1 && byte <= 0xf3) return {4};
  if (byte == 0xf4) return {4, 0x80, 0x8f};
  return {0};
}

/// How many bytes at the front fit a sequence that `lead` opens.
size_t matching_prefix(std::string_view text, const Lead& lead) {
  size_t length = 1;
  while (length < std::min(lead.length, text.size())) {
    const auto byte = static_cast<uint8_t>(text[length]);
    const uint8_t low = length == 1 ? lead.low : 0x80;
    const uint8_t high = length == 1 ? lead.high : 0xbf;
    if (byte < low || byte > high) break;
    ++length;
  }
  return length;
}

}  // namespace

size_t utf8_length(std::string_view text) {
  if (text.empty()) return 0;
  const Lead lead = lead_of(static_cast<uint8_t>(text[0]));
  return lead.length > 0 && matching_prefix(text, lead) == lead.length ? lead.length : 0;
}

bool is_cut_off(std::string_view text) {
  if (text.empty()) return false;
  const Lead lead = lead_of(static_cast<uint8_t>(text[0]));
  return lead.length > text.size() && matching_prefix(text, lead) == text.size();
}

uint32_t decode_code_point(std::string_view sequence) {
  const auto byte = [&](size_t i) {
    return static_cast<uint32_t>(static_cast<uint8_t>(sequence[i]));
  };
  switch (sequence.size()) {
    case 1:
      return byte(0);
    case 2:
      return (byte(0) & 0x1f) << 6 | (byte(1) & 0x3f);
    case 3:
      return (byte(0) & 0x0f) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f);
    default:
      return (byte(0) & 0x07) << 18 | (byte(1) & 0x3f) << 12 | (byte(2) & 0x3f) << 6 |
             (byte(3) & 0x3f);
  }
}

void append_code_point(std::string& text, uint32_t code_point) {
  const auto push = [&](uint32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (code_point < 0x80) {
    push(code_point);
  } else if (code_point < 0x800) {
    push(0xc0 | code_point >> 6);
    push(0x80 | (code_point & 0x3f));
  } else if (code_point < 0x10000) {
    push(0xe0 | code_point >> 12);
    push(0x80 | (code_point >> 6 & 0x3f));
    push(0x80 | (code_point & 0x3f));
  } else {
    push(0xf0 | code_point >> 18);
    push(0x80 | (code_point >> 12 & 0x3f));
    push(0x80 | (code_point >> 6 & 0x3f));
    push(0x80 | (code_point & 0x3f));
  }
}

std::string to_valid_utf8(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  while (!text.empty()) {
    if (const size_t length = utf8_length(text); length > 0) {
      valid.append(text.substr(0, length));
      text.remove_prefix(length);
      continue;
    }
    const Lead lead = lead_of(static_cast<uint8_t>(text[0]));
    text.remove_prefix(lead.length == 0 ? 1 : matching_prefix(text, lead));
    append_code_point(valid, 0xfffd);
  }
  return valid;
}

}  // namespace veloz::text
