// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"

namespace veloz::test {

/// Overwrites row `row` of the fp32 tensor `name` in a safetensors file with `value`.
inline void fill_row(const std::filesystem::path& file, const std::string& name, int64_t row,
                     float value) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  uint64_t header_bytes = 0;
  stream.read(reinterpret_cast<char*>(&header_bytes), sizeof header_bytes);
  std::string header(header_bytes, '\0');
  stream.read(header.data(), static_cast<std::streamsize>(header.size()));
  const nlohmann::json tensor = nlohmann::json::parse(header).at(name);
  VELOZ_CHECK(tensor.at("dtype") == "F32", "tensor \"{}\" is not fp32", name);
  const int64_t columns = tensor.at("shape").at(1);
  const std::vector<float> values(static_cast<size_t>(columns), value);
  const int64_t begin = tensor.at("data_offsets").at(0);
  const auto row_bytes = static_cast<int64_t>(values.size() * sizeof(float));
  stream.seekp(static_cast<std::streamoff>(sizeof header_bytes + header_bytes) + begin +
               row * row_bytes);
  stream.write(reinterpret_cast<const char*>(values.data()), row_bytes);
  VELOZ_CHECK(stream.good(), "tensor \"{}\" was not written", name);
}

}  // namespace veloz::test
