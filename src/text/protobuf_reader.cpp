// SPDX-License-Identifier: Apache-2.0
#include "text/protobuf_reader.h"

#include <fmt/format.h>

#include "base/error.h"

namespace veloz::text {
namespace {

constexpr size_t kMaxVarintBytes = 10;
constexpr uint64_t kMaxFieldNumber = (1 << 29) - 1;

[[noreturn]] void refuse(const std::string& message) {
  throw Error(ErrorKind::corrupt_data, message,
              "the file is damaged or cut off; download it again");
}

}  // namespace

std::optional<ProtobufField> ProtobufReader::next() {
  if (rest_.empty()) return std::nullopt;
  const uint64_t tag = read_varint();
  const uint64_t number = tag >> 3;
  if (number == 0 || number > kMaxFieldNumber)
    refuse(fmt::format("a protobuf field has the number {} (1 to {})", number, kMaxFieldNumber));
  ProtobufField field;
  field.number = static_cast<uint32_t>(number);
  switch (tag & 7) {
    case 0:
      field.value = read_varint();
      break;
    case 1:
      field.wire = ProtobufField::Wire::fixed64;
      field.value = read_fixed(8);
      break;
    case 2:
      field.wire = ProtobufField::Wire::bytes;
      field.bytes = take(read_varint());
      break;
    case 5:
      field.wire = ProtobufField::Wire::fixed32;
      field.value = read_fixed(4);
      break;
    default:
      refuse(fmt::format("protobuf field {} has the wire type {}, which is none", number, tag & 7));
  }
  return field;
}

uint64_t ProtobufReader::read_varint() {
  uint64_t value = 0;
  for (size_t i = 0; i < kMaxVarintBytes; ++i) {
    const auto byte = static_cast<uint8_t>(take(1)[0]);
    value |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
    if (byte < 0x80) return value;
  }
  refuse(fmt::format("a protobuf integer is longer than {} bytes", kMaxVarintBytes));
}

uint64_t ProtobufReader::read_fixed(size_t size) {
  uint64_t value = 0;
  const std::string_view bytes = take(size);
  for (size_t i = 0; i < size; ++i)
    value |= static_cast<uint64_t>(static_cast<uint8_t>(bytes[i])) << (8 * i);
  return value;
}

std::string_view ProtobufReader::take(uint64_t size) {
  if (size > rest_.size())
    refuse(fmt::format("a protobuf field of {} bytes, where the message has {} left", size,
                       rest_.size()));
  const std::string_view taken = rest_.substr(0, size);
  rest_.remove_prefix(size);
  return taken;
}

}  // namespace veloz::text
