// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace veloz::text {

/// One field of a protobuf message: its number, and its value by wire type.
struct ProtobufField {
  enum class Wire { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };
  uint32_t number = 0;
  Wire wire = Wire::varint;
  uint64_t value = 0;      // varint, fixed64 and fixed32
  std::string_view bytes;  // of a string or message; lives as long as what is read
};

/// Walks the fields of a message whose bytes nobody has checked.
class ProtobufReader {
 public:
  explicit ProtobufReader(std::string_view message) : rest_(message) {}
  /// None at the end. Throws Error(corrupt_data) where the bytes are no field.
  std::optional<ProtobufField> next();

 private:
  uint64_t read_varint();
  uint64_t read_fixed(size_t size);
  std::string_view take(uint64_t size);

  std::string_view rest_;
};

}  // namespace veloz::text
