// SPDX-License-Identifier: Apache-2.0
#include "text/sentencepiece_charsmap.h"

#include <fmt/format.h>

#include <cstdint>

#include "base/error.h"
#include "text/utf8.h"

namespace veloz::text {
namespace {

constexpr size_t kUnitBytes = 4;
// A text may grow by this factor at most; the longest of Unicode, U+FDFA, becomes 33 bytes.
constexpr size_t kMaxReplacementBytes = 256;
constexpr uint32_t kIsLeaf = uint32_t{1} << 31;  // the unit holds where a replacement begins
constexpr uint32_t kHasLeaf = uint32_t{1} << 8;  // such a unit lies at its index ^ offset

[[noreturn]] void refuse(const std::string& message) {
  throw Error(ErrorKind::corrupt_data, fmt::format("precompiled_charsmap: {}", message),
              "the file is damaged; download it again");
}

uint32_t read_u32(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < kUnitBytes; ++i)
    value |= static_cast<uint32_t>(static_cast<uint8_t>(bytes[at + i])) << (8 * i);
  return value;
}

/// What a unit's children start from: they lie at its index ^ offset ^ byte.
uint32_t offset_of(uint32_t unit) { return (unit >> 10) << ((unit & (1u << 9)) >> 6); }

void check_replacements(std::string_view texts) {
  if (texts.empty() || texts.back() != '\0') refuse("the last replacement does not end");
  size_t begin = 0;
  for (size_t end = texts.find('\0'); end != std::string_view::npos;
       end = texts.find('\0', begin)) {
    std::string_view text = texts.substr(begin, end - begin);
    if (text.size() > kMaxReplacementBytes)
      refuse(fmt::format("a replacement of {} bytes is longer than {}", text.size(),
                         kMaxReplacementBytes));
    for (; !text.empty(); text.remove_prefix(utf8_length(text)))
      if (utf8_length(text) == 0) refuse("a replacement is no UTF-8");
    begin = end + 1;
  }
}

}  // namespace

void check_sentencepiece_charsmap(std::string_view blob) {
  if (blob.empty()) return;
  if (blob.size() < kUnitBytes) refuse(fmt::format("{} bytes are too few", blob.size()));
  const uint64_t trie_bytes = read_u32(blob, 0);
  if (trie_bytes == 0 || trie_bytes % kUnitBytes != 0 || trie_bytes > blob.size() - kUnitBytes)
    refuse(fmt::format("a trie of {} bytes in {}", trie_bytes, blob.size()));
  const std::string_view trie = blob.substr(kUnitBytes, trie_bytes);
  const std::string_view texts = blob.substr(kUnitBytes + trie_bytes);
  check_replacements(texts);
  const size_t num_units = trie.size() / kUnitBytes;
  for (size_t i = 0; i < num_units; ++i) {
    const uint32_t unit = read_u32(trie, i * kUnitBytes);
    if ((unit & kIsLeaf) != 0) {
      // Any start inside the texts is safe: what follows is shorter than a whole one.
      if ((unit & ~kIsLeaf) >= texts.size())
        refuse(fmt::format("a replacement at {} of {}", unit & ~kIsLeaf, texts.size()));
    } else if (((i ^ offset_of(unit)) | 0xff) >= num_units) {
      refuse(fmt::format("unit {} of the trie leads out of its {} units", i, num_units));
    } else if ((unit & kHasLeaf) != 0 &&
               (read_u32(trie, (i ^ offset_of(unit)) * kUnitBytes) & kIsLeaf) == 0) {
      refuse(fmt::format("unit {} of the trie has no replacement", i));
    }
  }
}

}  // namespace veloz::text
