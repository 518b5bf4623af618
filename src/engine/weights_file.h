// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "engine/plan.h"

namespace veloz::engine {

inline constexpr std::string_view kPlainLayout = "plain";

/// Bytes of weights.safetensors that hold one weight.
struct WeightRange {
  uint64_t offset = 0;  // from the start of the file, a multiple of 64
  size_t bytes = 0;
};

/// weights.safetensors is a plain safetensors file that any reader of the format opens: a weight in
/// layout "plain" has its own dtype and shape, a packed one is U8 [bytes]. Weights stand in the
/// plan's order, each at a multiple of 64 bytes; as the format allows no holes, the gaps are U8
/// tensors named "__pad.<n>".
struct WeightsFileLayout {
  std::string header;               // length, JSON and spaces: the file's first bytes
  std::vector<WeightRange> ranges;  // one per weight of the plan
  uint64_t file_bytes = 0;
};

/// `weight_bytes[i]` is the stored size of weight i.
WeightsFileLayout layout_weights_file(const Plan& plan, std::span<const size_t> weight_bytes);

/// Where each weight of the plan lies in an untrusted file. Throws Error(corrupt_data) where the
/// header is damaged or holds anything but these weights.
std::vector<WeightRange> find_weights(const File& file, const Plan& plan);
/// The same from the header's JSON, in front of `data_bytes` of data.
std::vector<WeightRange> parse_weights_header(std::string_view json, uint64_t data_bytes,
                                              const Plan& plan);

/// True for names the file keeps for itself: "__metadata__" and "__pad.<n>".
bool is_reserved_tensor_name(std::string_view name);

}  // namespace veloz::engine
