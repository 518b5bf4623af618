// SPDX-License-Identifier: Apache-2.0
#include "text/byte_level.h"

#include <array>
#include <cstdint>

#include "text/utf8.h"

namespace veloz::text {
namespace {

constexpr uint32_t kFirstStandIn = 0x100;
constexpr size_t kNumStandIns = 68;
constexpr uint32_t kNoByte = UINT32_MAX;

constexpr bool is_printable(uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) ||
         (byte >= 0xae && byte <= 0xff);
}

struct Tables {
  std::array<uint32_t, 256> character{};
  std::array<uint8_t, kNumStandIns> byte{};  // of stand-in i
};

constexpr Tables make_tables() {
  Tables tables;
  size_t num_stand_ins = 0;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    tables.character[byte] = byte;
    if (is_printable(byte)) continue;
    tables.byte[num_stand_ins] = static_cast<uint8_t>(byte);
    tables.character[byte] = kFirstStandIn + static_cast<uint32_t>(num_stand_ins++);
  }
  return tables;
}

constexpr Tables kTables = make_tables();

}  // namespace

std::string bytes_to_characters(std::string_view bytes) {
  std::string characters;
  characters.reserve(bytes.size() * 2);
  for (const char byte : bytes)
    append_code_point(characters, kTables.character[static_cast<uint8_t>(byte)]);
  return characters;
}

std::string characters_to_bytes(std::string_view characters) {
  std::string bytes;
  for (std::string_view rest = characters; !rest.empty();) {
    const size_t length = utf8_length(rest);
    const uint32_t code_point = length == 0 ? kNoByte : decode_code_point(rest.substr(0, length));
    if (code_point < 256 && is_printable(code_point)) {
      bytes.push_back(static_cast<char>(code_point));
    } else if (code_point >= kFirstStandIn && code_point < kFirstStandIn + kNumStandIns) {
      bytes.push_back(static_cast<char>(kTables.byte[code_point - kFirstStandIn]));
    } else {
      return std::string(characters);
    }
    rest.remove_prefix(length);
  }
  return bytes;
}

}  // namespace veloz::text
