// SPDX-License-Identifier: Apache-2.0
#include "engine/weights_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/numeric.h"
#include "engine/file_names.h"
#include "engine/json_fields.h"
#include "engine/limits_json.h"

namespace veloz::engine {
namespace {

constexpr uint64_t kWeightAlignment = 64;
constexpr uint64_t kMaxHeaderBytes = uint64_t{100} << 20;  // the format's own limit
constexpr uint64_t kLengthBytes = 8;
constexpr size_t kMaxTensors = size_t{1} << 21;
constexpr int64_t kMaxWeightExtent = int64_t{1} << 50;
constexpr std::string_view kPadPrefix = "__pad.";
constexpr std::string_view kMetadata = "__metadata__";

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");

/// Bytes of a packed layout, and pairs of 4 bits: the plan says what they are.
constexpr std::string_view kBytes = "U8";

std::string_view stored_dtype(DType dtype, bool is_plain) {
  return is_plain && dtype != DType::uint4x2 ? safetensors_dtype(dtype) : kBytes;
}

std::string tensor_entry(std::string_view name, std::string_view dtype,
                         std::span<const int64_t> shape, uint64_t begin, uint64_t bytes) {
  return fmt::format("{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                     dump_line(std::string(name)), dtype, fmt::join(shape, ","), begin,
                     begin + bytes);
}

/// A tensor as the header of a file declares it, sizes checked against the file.
struct StoredTensor {
  std::string dtype;
  std::vector<int64_t> shape;
  uint64_t begin = 0;  // in the data
  uint64_t end = 0;
};

StoredTensor parse_tensor(const JsonNode& node, uint64_t data_bytes) {
  node.expect_keys({"dtype", "shape", "data_offsets"});
  StoredTensor tensor;
  tensor.dtype = node.at("dtype").text(16);
  tensor.shape = node.at("shape").integers(1, kMaxWeightExtent, Shape::kMaxRank);
  const JsonNode offsets = node.at("data_offsets");
  const std::vector<int64_t> range = offsets.integers(0, INT64_MAX, 2);
  if (range.size() != 2 || range[0] > range[1] || static_cast<uint64_t>(range[1]) > data_bytes)
    offsets.fail(fmt::format("no range within the {} bytes of data", data_bytes));
  tensor.begin = static_cast<uint64_t>(range[0]);
  tensor.end = static_cast<uint64_t>(range[1]);
  return tensor;
}

/// The format: tensors cover the data without holes or overlaps.
void verify_cover(const std::map<std::string, StoredTensor>& tensors, uint64_t data_bytes,
                  std::string_view file) {
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  ranges.reserve(tensors.size());
  for (const auto& [name, tensor] : tensors) ranges.emplace_back(tensor.begin, tensor.end);
  std::ranges::sort(ranges);
  uint64_t expected = 0;
  for (const auto& [begin, end] : ranges) {
    if (begin != expected)
      throw Error(
          ErrorKind::corrupt_data,
          fmt::format("{}: a tensor begins at byte {} of the data, the one before ends at {}", file,
                      begin, expected),
          kRebuildHint);
    expected = end;
  }
  if (expected != data_bytes)
    throw Error(
        ErrorKind::corrupt_data,
        fmt::format("{}: the tensors end at byte {}, the data at {}", file, expected, data_bytes),
        kRebuildHint);
}

WeightRange match_weight(const PlanWeight& weight, const StoredTensor& tensor, uint64_t data_begin,
                         std::string_view file) {
  const bool is_plain = weight.layout == kPlainLayout;
  const uint64_t bytes = tensor.end - tensor.begin;
  const std::vector<int64_t> expected_shape =
      is_plain ? std::vector<int64_t>(weight.shape.dims().begin(), weight.shape.dims().end())
               : std::vector<int64_t>{narrow<int64_t>(bytes)};
  const std::string_view expected_dtype = stored_dtype(weight.dtype, is_plain);
  const uint64_t plain_bytes =
      static_cast<uint64_t>(weight.shape.num_elements()) * dtype_bytes(weight.dtype);
  if (tensor.dtype != expected_dtype || tensor.shape != expected_shape ||
      (is_plain && bytes != plain_bytes) || bytes == 0)
    throw Error(
        ErrorKind::corrupt_data,
        fmt::format("{}: tensor {} is {} [{}] in {} bytes, plan.json asks for {} [{}]", file,
                    quote_text(weight.name), tensor.dtype, fmt::join(tensor.shape, ", "), bytes,
                    expected_dtype, fmt::join(expected_shape, ", ")),
        kRebuildHint);
  if ((data_begin + tensor.begin) % kWeightAlignment != 0)
    throw Error(ErrorKind::corrupt_data,
                fmt::format("{}: tensor {} begins at byte {}, not at a multiple of {}", file,
                            quote_text(weight.name), data_begin + tensor.begin, kWeightAlignment),
                kRebuildHint);
  return {data_begin + tensor.begin, static_cast<size_t>(bytes)};
}

}  // namespace

bool is_reserved_tensor_name(std::string_view name) {
  return name == kMetadata || name.starts_with(kPadPrefix);
}

WeightsFileLayout layout_weights_file(const Plan& plan, std::span<const size_t> weight_bytes) {
  VELOZ_CHECK(weight_bytes.size() == plan.weights.size(), "{} sizes for {} weights",
              weight_bytes.size(), plan.weights.size());
  WeightsFileLayout layout;
  std::string json = R"({"__metadata__":{"format":"veloz"})";
  uint64_t end = 0;
  size_t num_pads = 0;
  for (size_t i = 0; i < plan.weights.size(); ++i) {
    const PlanWeight& weight = plan.weights[i];
    const size_t bytes = weight_bytes[i];
    const bool is_plain = weight.layout == kPlainLayout;
    const size_t plain_bytes =
        narrow<size_t>(weight.shape.num_elements()) * dtype_bytes(weight.dtype);
    VELOZ_CHECK(bytes > 0 && (!is_plain || bytes == plain_bytes), "weight \"{}\" in {} bytes",
                weight.name, bytes);
    const std::vector<int64_t> packed_shape = {narrow<int64_t>(bytes)};
    json += "," + tensor_entry(weight.name, stored_dtype(weight.dtype, is_plain),
                               is_plain ? weight.shape.dims() : packed_shape, end, bytes);
    layout.ranges.push_back({end, bytes});
    end += bytes;
    if (const uint64_t pad = round_up(end, kWeightAlignment) - end; pad > 0) {
      const std::vector<int64_t> pad_shape = {narrow<int64_t>(pad)};
      json += "," + tensor_entry(fmt::format("{}{}", kPadPrefix, num_pads++), kBytes, pad_shape,
                                 end, pad);
      end += pad;
    }
  }
  json += "}";
  json.resize(round_up(kLengthBytes + json.size(), size_t{kWeightAlignment}) - kLengthBytes, ' ');
  const uint64_t length = json.size();
  layout.header.assign(reinterpret_cast<const char*>(&length), kLengthBytes);
  layout.header += json;
  for (WeightRange& range : layout.ranges) range.offset += layout.header.size();
  layout.file_bytes = layout.header.size() + end;
  return layout;
}

std::vector<WeightRange> find_weights(const File& file, const Plan& plan) {
  uint64_t length = 0;
  if (file.size() < kLengthBytes)
    throw Error(ErrorKind::corrupt_data,
                fmt::format("{} has {} bytes, too few for a header", kWeightsFile, file.size()),
                kRebuildHint);
  file.read(0, std::as_writable_bytes(std::span(&length, 1)));
  if (length > kMaxHeaderBytes || length > file.size() - kLengthBytes)
    throw Error(
        ErrorKind::corrupt_data,
        fmt::format("{} announces a header of {} bytes, the file has {} and headers at most "
                    "{}",
                    kWeightsFile, length, file.size(), kMaxHeaderBytes),
        kRebuildHint);
  std::string json(length, '\0');
  file.read(kLengthBytes, std::as_writable_bytes(std::span(json)));
  return parse_weights_header(json, file.size() - kLengthBytes - length, plan);
}

std::vector<WeightRange> parse_weights_header(std::string_view json, uint64_t data_bytes,
                                              const Plan& plan) {
  const std::string_view name = kWeightsFile;
  const uint64_t data_begin = kLengthBytes + json.size();
  const JsonDocument document(json, name, kMaxHeaderBytes);
  std::map<std::string, StoredTensor> tensors;
  const JsonNode root = document.root();
  const std::vector<std::string> keys = root.keys();
  const std::vector<JsonNode> nodes = root.items(kMaxTensors);
  for (size_t i = 0; i < keys.size(); ++i)
    if (keys[i] != kMetadata) tensors.emplace(keys[i], parse_tensor(nodes[i], data_bytes));
  verify_cover(tensors, data_bytes, name);

  std::vector<WeightRange> ranges;
  for (const PlanWeight& weight : plan.weights) {
    const auto found = tensors.find(weight.name);
    if (found == tensors.end())
      throw Error(ErrorKind::corrupt_data,
                  fmt::format("{} lacks tensor {} of plan.json", name, quote_text(weight.name)),
                  kRebuildHint);
    ranges.push_back(match_weight(weight, found->second, data_begin, name));
    tensors.erase(found);
  }
  for (const auto& [tensor, unused] : tensors)
    if (!tensor.starts_with(kPadPrefix))
      throw Error(ErrorKind::corrupt_data,
                  fmt::format("{} holds tensor {}, which plan.json does not name", name,
                              quote_text(tensor)),
                  kRebuildHint);
  return ranges;
}

}  // namespace veloz::engine
