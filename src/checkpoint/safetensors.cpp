// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <optional>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/numeric.h"
#include "checkpoint/json_text.h"

namespace veloz::checkpoint {
namespace {

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit
constexpr const char* kDamagedHint =
    "the file is damaged or no safetensors file; download it again";

constexpr std::array<std::pair<std::string_view, DType>, 8> kDTypes = {{
    {"F32", DType::fp32},
    {"F16", DType::fp16},
    {"BF16", DType::bf16},
    {"I64", DType::int64},
    {"I32", DType::int32},
    {"I8", DType::int8},
    {"U8", DType::uint8},
    {"BOOL", DType::uint8},
}};

[[noreturn]] void refuse(const std::string& message) {
  throw Error(ErrorKind::corrupt_data, message, kDamagedHint);
}

uint64_t read_header_length(const File& file) {
  if (file.size() < kLengthBytes)
    refuse(fmt::format("{} bytes are too few for a safetensors file", file.size()));
  std::array<std::byte, kLengthBytes> bytes{};
  file.read(0, bytes);
  const auto length = std::bit_cast<uint64_t>(bytes);
  if (length > kMaxHeaderBytes || length > file.size() - kLengthBytes)
    refuse(fmt::format("the header claims {} bytes, the file has {} and the format allows {}",
                       length, file.size(), kMaxHeaderBytes));
  return length;
}

DType parse_dtype(const nlohmann::json& value) {
  if (!value.is_string()) refuse("its dtype is no string");
  for (const auto& [name, dtype] : kDTypes)
    if (value == name) return dtype;
  throw Error(
      ErrorKind::unsupported, fmt::format("its dtype {} is not supported", value.dump()),
      "supported are F32, F16, BF16 for weights, I64, I32, I8, U8, BOOL for what is not used");
}

uint64_t parse_count(const nlohmann::json& value, std::string_view what) {
  if (!value.is_number_unsigned()) refuse(fmt::format("{} is {}, not a count", what, value.dump()));
  return value.get<uint64_t>();
}

Shape parse_shape(const nlohmann::json& value) {
  if (!value.is_array() || value.size() > Shape::kMaxRank)
    refuse(fmt::format("its shape is no list of at most {} extents", Shape::kMaxRank));
  std::vector<int64_t> dims;
  uint64_t product = 1;
  for (const nlohmann::json& item : value) {
    const uint64_t dim = parse_count(item, "an extent");
    if (dim == 0) refuse("its shape has a zero extent");
    const std::optional<uint64_t> next = try_multiply(product, dim);
    if (!next || *next > uint64_t{1} << 60)
      refuse(fmt::format("its shape {} has more elements than 64 bits count", value.dump()));
    product = *next;
    dims.push_back(static_cast<int64_t>(dim));
  }
  return Shape(dims);
}

TensorEntry parse_entry(const nlohmann::json& value, uint64_t data_begin, uint64_t data_bytes) {
  if (!value.is_object() || !value.contains("dtype") || !value.contains("shape") ||
      !value.contains("data_offsets"))
    refuse("it lacks dtype, shape or data_offsets");
  TensorEntry entry;
  entry.dtype = parse_dtype(value["dtype"]);
  entry.shape = parse_shape(value["shape"]);
  const nlohmann::json& offsets = value["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2) refuse("its data_offsets are no pair");
  const uint64_t begin = parse_count(offsets[0], "its begin");
  const uint64_t end = parse_count(offsets[1], "its end");
  if (begin > end || end > data_bytes)
    refuse(fmt::format("its data is at [{}, {}), the file holds {} bytes of data", begin, end,
                       data_bytes));
  entry.offset = data_begin + begin;
  entry.bytes = end - begin;
  const uint64_t wanted =
      static_cast<uint64_t>(entry.shape.num_elements()) * dtype_bytes(entry.dtype);
  if (entry.bytes != wanted)
    refuse(fmt::format("it has {} bytes of data, {} {} need {}", entry.bytes,
                       to_string(entry.dtype), to_string(entry.shape), wanted));
  return entry;
}

/// Data must cover the file: what overlaps or is left over shows that header and data do not belong
/// together.
void check_coverage(const std::map<std::string, TensorEntry, std::less<>>& tensors,
                    uint64_t data_begin, uint64_t file_bytes) {
  std::vector<std::pair<const std::string*, const TensorEntry*>> by_offset;
  for (const auto& [name, entry] : tensors) by_offset.emplace_back(&name, &entry);
  std::ranges::sort(by_offset, {}, [](const auto& item) { return item.second->offset; });
  uint64_t expected = data_begin;
  for (const auto& [name, entry] : by_offset) {
    if (entry->offset != expected)
      refuse(fmt::format("tensor \"{}\" begins at byte {}, {} is where the one before it ends",
                         *name, entry->offset, expected));
    expected = entry->offset + entry->bytes;
  }
  if (expected != file_bytes)
    refuse(fmt::format("the tensors end at byte {}, the file at {}", expected, file_bytes));
}

}  // namespace

SafetensorsFile SafetensorsFile::open(const std::filesystem::path& path) {
  SafetensorsFile result(File::open(path));
  try {
    const uint64_t header_bytes = read_header_length(result.file_);
    result.header_.resize(header_bytes);
    result.file_.read(kLengthBytes, std::as_writable_bytes(std::span(result.header_)));
    const nlohmann::json header = parse_json(result.header_);
    if (!header.is_object()) refuse("the header is no JSON object");
    const uint64_t data_begin = kLengthBytes + header_bytes;
    for (const auto& [name, value] : header.items()) {
      if (name == "__metadata__") continue;
      try {
        result.tensors_.emplace(name,
                                parse_entry(value, data_begin, result.file_.size() - data_begin));
      } catch (Error& e) {
        e.add_context(fmt::format("tensor \"{}\"", name));
        throw;
      }
    }
    check_coverage(result.tensors_, data_begin, result.file_.size());
  } catch (Error& e) {
    e.add_context(fmt::format("\"{}\"", path.string()));
    throw;
  }
  return result;
}

void SafetensorsFile::read(const TensorEntry& entry, uint64_t begin,
                           std::span<std::byte> to) const {
  VELOZ_CHECK(begin + to.size() <= entry.bytes, "bytes [{}, {}) of a tensor of {}", begin,
              begin + to.size(), entry.bytes);
  file_.read(entry.offset + begin, to);
}

}  // namespace veloz::checkpoint
