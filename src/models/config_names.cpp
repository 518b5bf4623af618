// SPDX-License-Identifier: Apache-2.0
#include "models/config_names.h"

namespace veloz::models {

std::string_view scaling_name(checkpoint::RopeScaling scaling) {
  switch (scaling) {
    case checkpoint::RopeScaling::none:
      return "none";
    case checkpoint::RopeScaling::linear:
      return "linear";
    case checkpoint::RopeScaling::llama3:
      return "llama3";
  }
  return "unknown";
}

std::string_view rope_style_name(checkpoint::RopeStyle style) {
  switch (style) {
    case checkpoint::RopeStyle::neox:
      return "neox";
    case checkpoint::RopeStyle::interleaved:
      return "interleaved";
  }
  return "unknown";
}

std::string_view activation_name(checkpoint::Activation activation) {
  switch (activation) {
    case checkpoint::Activation::silu:
      return "silu";
    case checkpoint::Activation::gelu:
      return "gelu";
    case checkpoint::Activation::gelu_tanh:
      return "gelu_tanh";
    case checkpoint::Activation::relu:
      return "relu";
  }
  return "unknown";
}

}  // namespace veloz::models
