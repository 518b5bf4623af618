// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/safetensors_header.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/numeric.h"
#include "checkpoint/json_text.h"

namespace veloz::checkpoint {
namespace {

constexpr const char* kMetadataKey = "__metadata__";
constexpr const char* kDamagedHint =
    "the file is damaged or no safetensors file; download it again";

/// Every element type of the format, and this project's name for it where there is one.
struct FormatDType {
  std::string_view name;
  uint64_t bits;
  std::optional<DType> dtype;
};
constexpr std::array<FormatDType, 20> kDTypes = {{
    {"F32", 32, DType::fp32},     {"F16", 16, DType::fp16},     {"BF16", 16, DType::bf16},
    {"I64", 64, DType::int64},    {"I32", 32, DType::int32},    {"I8", 8, DType::int8},
    {"U8", 8, DType::uint8},      {"BOOL", 8, DType::uint8},    {"F64", 64, std::nullopt},
    {"C64", 64, std::nullopt},    {"I16", 16, std::nullopt},    {"U16", 16, std::nullopt},
    {"U32", 32, std::nullopt},    {"U64", 64, std::nullopt},    {"F8_E4M3", 8, DType::fp8_e4m3},
    {"F8_E5M2", 8, std::nullopt}, {"F8_E8M0", 8, std::nullopt}, {"F6_E2M3", 6, std::nullopt},
    {"F6_E3M2", 6, std::nullopt}, {"F4", 4, std::nullopt},
}};

[[noreturn]] void refuse(const std::string& message) {
  throw Error(ErrorKind::corrupt_data, message, kDamagedHint);
}

const FormatDType& find_dtype(const std::string& name) {
  for (const FormatDType& dtype : kDTypes)
    if (dtype.name == name) return dtype;
  std::vector<std::string_view> known;
  known.reserve(std::size(kDTypes));
  for (const FormatDType& dtype : kDTypes) known.push_back(dtype.name);
  throw Error(ErrorKind::unsupported, fmt::format("its dtype {} is not supported", shown(name)),
              fmt::format("weights are F32, F16 or BF16; known beside them: {}",
                          fmt::join(std::span(known).subspan(3), ", ")));
}

/// A tensor as the header writes it, before anything is believed.
struct RawEntry {
  std::optional<std::string> dtype;
  std::optional<std::vector<int64_t>> shape;
  std::optional<std::vector<uint64_t>> data_offsets;
};

uint64_t count_bytes(const Shape& shape, uint64_t bits) {
  std::optional<uint64_t> total = bits;
  for (const int64_t dim : shape.dims()) {
    total = try_multiply(*total, static_cast<uint64_t>(dim));
    if (!total || *total > uint64_t{INT64_MAX})
      refuse(fmt::format("its shape {} has more elements than 64 bits count", to_string(shape)));
  }
  if (*total % 8 != 0)
    refuse(fmt::format("its shape {} does not fill whole bytes of {} bits per element",
                       to_string(shape), bits));
  return *total / 8;
}

TensorEntry check_entry(const RawEntry& raw, uint64_t data_begin, uint64_t file_bytes) {
  if (!raw.dtype || !raw.shape || !raw.data_offsets)
    refuse("it lacks dtype, shape or data_offsets");
  if (raw.data_offsets->size() != 2)
    refuse(
        fmt::format("its data_offsets are {} numbers, they must be 2", raw.data_offsets->size()));
  const FormatDType& dtype = find_dtype(*raw.dtype);
  const Shape shape(*raw.shape);
  const uint64_t begin = (*raw.data_offsets)[0];
  const uint64_t end = (*raw.data_offsets)[1];
  const uint64_t data_bytes = file_bytes - data_begin;
  if (begin > end || end > data_bytes)
    refuse(fmt::format("its data is at [{}, {}), the file holds {} bytes of data", begin, end,
                       data_bytes));
  const uint64_t wanted = count_bytes(shape, dtype.bits);
  if (end - begin != wanted)
    refuse(fmt::format("it has {} bytes of data, {} {} takes {}", end - begin, dtype.name,
                       to_string(shape), wanted));
  return {dtype.name, dtype.dtype, shape, data_begin + begin, wanted};
}

/// Takes the parser's events for exactly the structure a header has, so that nothing but entries
/// is ever stored and nothing nests.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  HeaderReader(uint64_t data_begin, uint64_t file_bytes)
      : data_begin_(data_begin), file_bytes_(file_bytes) {}

  SafetensorsHeader take_result() { return std::move(result_); }

  bool null() override { unexpected("null"); }
  bool boolean(bool) override { unexpected("true or false"); }
  bool binary(binary_t&) override { unexpected("binary data"); }
  bool number_float(number_float_t, const string_t& text) override { unexpected(shown(text)); }
  bool number_integer(number_integer_t value) override { unexpected(fmt::format("{}", value)); }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ == Place::offsets) {
      if (raw_.data_offsets->size() == 2) refuse_tensor("its data_offsets are more than 2 numbers");
      raw_.data_offsets->push_back(value);
    } else if (place_ == Place::shape) {
      add_extent(value);
    } else {
      unexpected(fmt::format("{}", value));
    }
    return true;
  }

  bool string(string_t& text) override {
    if (place_ == Place::metadata) {
      result_.metadata[key_] = text;
    } else if (place_ == Place::entry && key_ == "dtype") {
      raw_.dtype = text;
    } else {
      unexpected(shown(text));
    }
    return true;
  }

  bool key(string_t& key) override {
    const bool is_new = place_ == Place::tensors    ? add_tensor(key)
                        : place_ == Place::metadata ? !result_.metadata.contains(key)
                                                    : add_field(key);
    if (!is_new && place_ == Place::tensors)
      refuse(fmt::format("tensor {} stands twice in the header", shown(key)));
    if (!is_new) refuse_tensor(fmt::format("the key {} stands twice", shown(key)));
    key_ = key;
    return true;
  }

  bool start_object(size_t) override {
    if (place_ == Place::outside) {
      place_ = Place::tensors;
    } else if (place_ == Place::tensors) {
      place_ = key_ == kMetadataKey ? Place::metadata : Place::entry;
    } else {
      unexpected("an object");
    }
    return true;
  }

  bool end_object() override {
    if (place_ == Place::entry) {
      finish_tensor();
    } else if (place_ == Place::tensors) {
      place_ = Place::outside;
      return true;
    }
    place_ = Place::tensors;
    return true;
  }

  bool start_array(size_t) override {
    if (place_ == Place::entry && key_ == "shape") {
      raw_.shape.emplace();
      place_ = Place::shape;
    } else if (place_ == Place::entry && key_ == "data_offsets") {
      raw_.data_offsets.emplace();
      place_ = Place::offsets;
    } else {
      unexpected("a list");
    }
    return true;
  }

  bool end_array() override {
    place_ = Place::entry;
    return true;
  }

  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception& e) override {
    throw_parse_error(position, e);
  }

 private:
  enum class Place { outside, tensors, metadata, entry, shape, offsets };

  bool add_tensor(const std::string& name) {
    raw_ = {};
    tensor_ = name;
    if (name == kMetadataKey) return !std::exchange(has_metadata_, true);
    return !result_.tensors.contains(name);
  }

  bool add_field(const std::string& field) {
    if (field == "dtype") return !raw_.dtype;
    if (field == "shape") return !raw_.shape;
    if (field == "data_offsets") return !raw_.data_offsets;
    refuse_tensor(fmt::format("the format has no field {}", shown(field)));
  }

  void add_extent(uint64_t extent) {
    if (extent == 0) refuse_tensor("its shape has a zero extent");
    if (extent > uint64_t{INT64_MAX})
      refuse_tensor(fmt::format("its shape has an extent of {}, more than 64 bits count", extent));
    if (raw_.shape->size() == Shape::kMaxRank)
      refuse_tensor(fmt::format("its shape has more than {} extents", Shape::kMaxRank));
    raw_.shape->push_back(static_cast<int64_t>(extent));
  }

  void finish_tensor() {
    try {
      result_.tensors.emplace(tensor_, check_entry(raw_, data_begin_, file_bytes_));
    } catch (Error& e) {
      e.add_context(fmt::format("tensor {}", shown(tensor_)));
      throw;
    }
  }

  [[noreturn]] void refuse_tensor(const std::string& message) const {
    refuse(tensor_.empty() ? message : fmt::format("tensor {}: {}", shown(tensor_), message));
  }

  /// A value where the format has another one; deep nesting ends here too.
  [[noreturn]] void unexpected(const std::string& found) const {
    switch (place_) {
      case Place::outside:
        refuse(fmt::format("the header is {}, it must be an object of tensors", found));
      case Place::tensors:
        refuse(fmt::format("{} is {}, it must be an object", shown(key_), found));
      case Place::metadata:
        refuse(fmt::format("the metadata {} is {}, it must be a string", shown(key_), found));
      case Place::entry:
        refuse_tensor(fmt::format("its {} is {}, it must be {}", key_, found,
                                  key_ == "dtype" ? "a string" : "a list"));
      case Place::shape:
      case Place::offsets:
        refuse_tensor(fmt::format("its {} holds {}, it must hold counts", key_, found));
    }
    refuse("it is no safetensors header");
  }

  const uint64_t data_begin_;
  const uint64_t file_bytes_;
  SafetensorsHeader result_;
  Place place_ = Place::outside;
  bool has_metadata_ = false;
  std::string key_;     // the last one seen
  std::string tensor_;  // whose entry is being read, or was
  RawEntry raw_;
};

/// Data must cover the file: what overlaps or is left over shows that header and data do not belong
/// together.
void check_coverage(const std::map<std::string, TensorEntry, std::less<>>& tensors,
                    uint64_t data_begin, uint64_t file_bytes) {
  std::vector<std::pair<const std::string*, const TensorEntry*>> by_offset;
  by_offset.reserve(tensors.size());
  for (const auto& [name, entry] : tensors) by_offset.emplace_back(&name, &entry);
  std::ranges::stable_sort(by_offset, {}, [](const auto& item) { return item.second->offset; });
  uint64_t expected = data_begin;
  for (const auto& [name, entry] : by_offset) {
    if (entry->offset < expected)
      refuse(fmt::format("tensor {} begins at byte {}, inside the one before it, which ends at {}",
                         shown(*name), entry->offset, expected));
    if (entry->offset > expected)
      refuse(fmt::format("bytes {} to {}, before tensor {}, belong to no tensor", expected,
                         entry->offset, shown(*name)));
    expected = entry->offset + entry->bytes;
  }
  if (expected != file_bytes)
    refuse(fmt::format("the tensors end at byte {}, the file at {}", expected, file_bytes));
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::string_view json, uint64_t data_begin,
                                           uint64_t file_bytes) {
  VELOZ_CHECK(data_begin <= file_bytes, "data at byte {} of {}", data_begin, file_bytes);
  HeaderReader reader(data_begin, file_bytes);
  nlohmann::json::sax_parse(json, &reader);
  SafetensorsHeader header = reader.take_result();
  check_coverage(header.tensors, data_begin, file_bytes);
  return header;
}

}  // namespace veloz::checkpoint
