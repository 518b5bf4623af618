// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "cli/generation_flags.h"
#include "veloz/llm.h"

namespace veloz::cli {

/// What one line of a JSONL file asks for.
struct JsonlTask {
  Prompt prompt;
  SamplingParams params;
};

/// A line is an object with "prompt", "prompt_token_ids" or "messages", and sampling fields (named
/// as the flags, with underscores; null is absent) that go before the flags. Other fields are
/// ignored: sets of examples carry references and ids. Throws Error(invalid_input) naming field and
/// value.
JsonlTask parse_jsonl_task(const std::string& line, const LLM& llm, const GenerationFlags& flags);

}  // namespace veloz::cli
