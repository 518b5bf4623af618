// SPDX-License-Identifier: Apache-2.0
#include "text/unicode.h"

#include <utf8proc.h>

#include "text/utf8.h"

namespace veloz::text {

bool is_space(uint32_t code_point) {
  return (code_point >= 0x09 && code_point <= 0x0d) || code_point == 0x20 || code_point == 0x85 ||
         code_point == 0xa0 || code_point == 0x1680 ||
         (code_point >= 0x2000 && code_point <= 0x200a) || code_point == 0x2028 ||
         code_point == 0x2029 || code_point == 0x202f || code_point == 0x205f ||
         code_point == 0x3000;
}

bool is_word(uint32_t code_point) {
  if (code_point == 0x200c || code_point == 0x200d) return true;
  // Circled and squared letters are symbols by category, and alphabetic.
  if ((code_point >= 0x24b6 && code_point <= 0x24e9) ||
      (code_point >= 0x1f130 && code_point <= 0x1f149) ||
      (code_point >= 0x1f150 && code_point <= 0x1f169) ||
      (code_point >= 0x1f170 && code_point <= 0x1f189))
    return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code_point))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return false;
  }
}

size_t leading_space_bytes(std::string_view text) {
  const size_t length = utf8_length(text);
  return length > 0 && is_space(decode_code_point(text.substr(0, length))) ? length : 0;
}

std::string_view last_character(std::string_view text) {
  size_t begin = text.size();
  while (begin > 0 && (static_cast<uint8_t>(text[--begin]) & 0xc0) == 0x80) {
  }
  return text.substr(begin);
}

size_t trailing_space_bytes(std::string_view text) {
  const std::string_view last = last_character(text);
  return leading_space_bytes(last) == last.size() ? last.size() : 0;
}

}  // namespace veloz::text
