// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>
#include <string>

namespace veloz::test {

// A tokenizer.model written by hand: fields of sentencepiece_model.proto with numbers below 2048,
// values below 128 and at most 16383 bytes.

inline std::string little_endian(uint32_t value) {
  std::string bytes;
  for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(value >> shift & 0xff);
  return bytes;
}

inline std::string protobuf_tag(int number, int wire) {
  const int tag = number << 3 | wire;
  if (tag < 128) return {static_cast<char>(tag)};
  return {static_cast<char>((tag & 0x7f) | 0x80), static_cast<char>(tag >> 7)};
}

inline std::string varint_field(int number, int value) {
  return protobuf_tag(number, 0) + static_cast<char>(value);
}

inline std::string bytes_field(int number, const std::string& value) {
  const size_t size = value.size();
  std::string field = protobuf_tag(number, 2);
  field += static_cast<char>(size < 128 ? size : (size & 0x7f) | 0x80);
  if (size >= 128) field += static_cast<char>(size >> 7);
  return field + value;
}

/// Types: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
inline std::string piece_field(const std::string& text, float score = 0, int type = 1) {
  return bytes_field(1, bytes_field(1, text) + protobuf_tag(2, 5) +
                            little_endian(std::bit_cast<uint32_t>(score)) + varint_field(3, type));
}

inline const std::string kBpeField = bytes_field(2, varint_field(3, 2));

/// Normalisation rules that write "E" for "e": a double array of 256 units, its root 0, the unit of
/// "e" at 0x65, which has its leaf at 0x65 ^ 1.
inline std::string capital_e_charsmap() {
  std::string trie(1024, '\0');
  trie.replace(4 * 0x65, 4, little_endian(0x65 | 1u << 8 | 1u << 10));
  trie.replace(4 * 0x64, 4, little_endian(1u << 31));
  return little_endian(1024) + trie + std::string("E\0", 2);
}

}  // namespace veloz::test
