// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "checkpoint/model_config.h"

namespace veloz::models {

/// What the graph's attributes call the settings of a checkpoint.
std::string_view scaling_name(checkpoint::RopeScaling scaling);
std::string_view rope_style_name(checkpoint::RopeStyle style);
std::string_view activation_name(checkpoint::Activation activation);

}  // namespace veloz::models
