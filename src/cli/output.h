// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

#include "veloz/llm.h"

namespace veloz::cli {

/// {"text", "token_ids" (new ones), "finish_reason", "usage", "timing", ...}; for several
/// completions "choices" holds the others too. A failed request is {"error": {"message", "hint"}}.
nlohmann::ordered_json to_json(const RequestOutput& output);

/// "load 0.02 s, TTFT 3 ms, 41 tokens at 1,234 tokens/s, engine build/demo-engine" for people.
std::string describe(const RequestOutput& output, double load_s,
                     const std::filesystem::path& engine);

}  // namespace veloz::cli
