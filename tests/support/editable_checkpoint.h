// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "checkpoint/safetensors.h"
#include "support/checkpoint_files.h"

namespace veloz::test {

/// A model directory of one safetensors file in memory, to be changed and written elsewhere.
struct EditableCheckpoint {
  nlohmann::json config;
  nlohmann::json hf_quant_config;  // null where there is none
  std::vector<FileTensor> tensors;

  static EditableCheckpoint read(const std::filesystem::path& dir) {
    EditableCheckpoint result;
    result.config = nlohmann::json::parse(read_text_file(dir / "config.json", 1 << 20));
    if (std::filesystem::exists(dir / "hf_quant_config.json"))
      result.hf_quant_config =
          nlohmann::json::parse(read_text_file(dir / "hf_quant_config.json", 1 << 20));
    const auto file = checkpoint::SafetensorsFile::open(dir / "model.safetensors");
    for (const auto& [name, entry] : file.tensors()) {
      const auto dims = entry.shape.dims();
      FileTensor tensor{name, std::string(entry.dtype_name), {dims.begin(), dims.end()}, ""};
      tensor.data.resize(entry.bytes);
      file.read(entry, 0, std::as_writable_bytes(std::span(tensor.data)));
      result.tensors.push_back(std::move(tensor));
    }
    return result;
  }

  nlohmann::json& quantization() { return config["quantization_config"]; }
  /// The one tensor whose name ends so.
  FileTensor& tensor(std::string_view ending) {
    const auto found = std::ranges::find_if(
        tensors, [&](const FileTensor& tensor) { return tensor.name.ends_with(ending); });
    VELOZ_CHECK(found != tensors.end(), "no tensor \"{}\"", ending);
    return *found;
  }
  void remove(std::string_view ending) {
    const std::string name = tensor(ending).name;
    std::erase_if(tensors, [&](const FileTensor& other) { return other.name == name; });
  }
  void write(const std::filesystem::path& dir) const {
    std::filesystem::create_directories(dir);
    write_bytes(dir / "config.json", config.dump());
    if (!hf_quant_config.is_null())
      write_bytes(dir / "hf_quant_config.json", hf_quant_config.dump());
    write_bytes(dir / "model.safetensors", safetensors_bytes(tensors));
  }
};

}  // namespace veloz::test
