// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace veloz::engine {

// The files of an engine directory.
inline constexpr std::string_view kManifestFile = "engine.json";
inline constexpr std::string_view kPlanFile = "plan.json";
inline constexpr std::string_view kGraphFile = "graph.txt";
inline constexpr std::string_view kWeightsFile = "weights.safetensors";
inline constexpr std::string_view kTokenizerFolder = "tokenizer";

/// True for a name that stays inside an engine directory: letters, digits, ".", "_" and "-", no
/// leading dot, and no folder but "tokenizer/".
bool is_engine_file_name(std::string_view name);

}  // namespace veloz::engine
