// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "checkpoint/config_fields.h"
#include "checkpoint/model_config.h"

namespace veloz::checkpoint {

/// Rotary embedding of Llama and Qwen2, from rope_theta and rope_scaling (transformers 4) or
/// rope_parameters (5, theta among them): sets config.rope, and ends max_position_embeddings where
/// a scaling begins that is not there. Included by this room's .cpp files only.
void parse_rope(const ConfigFields& fields, ModelConfig& config);

}  // namespace veloz::checkpoint
