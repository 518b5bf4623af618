// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace veloz::checkpoint {

/// What an evaluation found out about a compressed model against its original: a file that lies in
/// the model's directory.
struct Gate {
  std::string text;     // the file
  std::string verdict;  // base/verdict.h
};
inline constexpr std::string_view kGateFile = "veloz_gate.json";

/// Nothing where there is no file. Throws Error(corrupt_data) for one that is not JSON or has no
/// such verdict.
std::optional<Gate> load_gate(const std::filesystem::path& model_dir);

}  // namespace veloz::checkpoint
