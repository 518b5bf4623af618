// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "api/backend.h"
#include "engine/engine.h"
#include "serving/executor.h"
#include "veloz/llm.h"

namespace veloz::api {

/// The engine's limits, lowered as `options` say, and how to schedule. Throws Error(invalid_input)
/// that names the flag, its value and what the engine was built for. `num_kv_blocks` and the banned
/// tokens are for the caller to set.
serving::ExecutorOptions to_executor_options(const engine::Engine& engine,
                                             const LLMOptions& options, Backend& backend);

/// Sequences that run at once: the engine's limit, lowered as `options` say. Throws as above.
int64_t choose_max_num_seqs(const LLMOptions& options, const engine::Limits& limits);

}  // namespace veloz::api
