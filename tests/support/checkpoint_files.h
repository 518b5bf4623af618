// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Model directories as others write them, whole or damaged.
namespace veloz::test {

/// A tensor of a safetensors file; `data` are its bytes.
struct FileTensor {
  std::string name;
  std::string dtype;  // "F32"
  std::vector<int64_t> shape;
  std::string data;
};

template <typename T>
std::string bytes_of(std::span<const T> values) {
  return {reinterpret_cast<const char*>(values.data()), values.size_bytes()};
}

inline FileTensor fp32_tensor(std::string name, std::vector<int64_t> shape,
                              std::span<const float> values) {
  return {std::move(name), "F32", std::move(shape), bytes_of(values)};
}

/// A header of any text before any data.
inline std::string safetensors_bytes(std::string_view header, std::string_view data) {
  const uint64_t length = header.size();
  std::string bytes(sizeof(length), '\0');
  std::memcpy(bytes.data(), &length, sizeof(length));
  return bytes.append(header).append(data);
}

inline std::string header_entry(const FileTensor& tensor, size_t begin) {
  return fmt::format(R"("{}":{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})", tensor.name,
                     tensor.dtype, fmt::join(tensor.shape, ","), begin, begin + tensor.data.size());
}

/// A file as the safetensors library writes it.
inline std::string safetensors_bytes(const std::vector<FileTensor>& tensors) {
  std::vector<std::string> entries = {R"("__metadata__":{"format":"pt"})"};
  std::string data;
  for (const FileTensor& tensor : tensors) {
    entries.push_back(header_entry(tensor, data.size()));
    data += tensor.data;
  }
  return safetensors_bytes(fmt::format("{{{}}}", fmt::join(entries, ",")), data);
}

inline void write_bytes(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace veloz::test
