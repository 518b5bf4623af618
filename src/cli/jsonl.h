// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "cli/generation_flags.h"
#include "cli/load.h"

namespace veloz::cli {

/// Runs all prompts of a JSONL file together and writes one JSON object a line, in the order of the
/// input; stdout where `output` is empty. A line that is no object with a prompt is
/// Error(invalid_input) with its number; nothing runs then. Returns 1 where a request failed (its
/// line says why), else 0.
int run_jsonl(LoadedModel& model, const GenerationFlags& flags, const std::filesystem::path& input,
              const std::filesystem::path& output);

}  // namespace veloz::cli
