// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <string>

namespace veloz::checkpoint {

/// Throws Error(not_found) or Error(invalid_input) where this is no directory.
void require_directory(const std::filesystem::path& path);

/// True for a link that leads nowhere too: opening it then says so.
bool has_file(const std::filesystem::path& path);

/// Tensor -> file name, as model.safetensors.index.json says. Throws Error(corrupt_data) for
/// anything but plain names of files of the same directory, or more of them than are opened.
std::map<std::string, std::string> read_weight_index(const std::filesystem::path& path);

/// Tells why a directory without safetensors files cannot be read.
[[noreturn]] void throw_no_weights(const std::filesystem::path& model_dir);

}  // namespace veloz::checkpoint
