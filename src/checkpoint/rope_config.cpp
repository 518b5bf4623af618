// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/rope_config.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "checkpoint/json_text.h"

namespace veloz::checkpoint {
namespace {

constexpr const char* kHint = "check config.json";
constexpr const char* kSupported = "supported are default, linear, llama3";

double require_factor(const ConfigFields& fields, const char* type, const char* key) {
  const std::optional<double> value = fields.try_float(key, kRopeFactors);
  if (!value)
    throw Error(ErrorKind::invalid_input,
                fmt::format("rope scaling \"{}\" lacks \"{}\"", type, key), kHint);
  return *value;
}

void parse_llama3(const ConfigFields& fields, const ConfigFields& top, ModelConfig& config) {
  RopeConfig& rope = config.rope;
  rope.scaling = RopeScaling::llama3;
  rope.factor = require_factor(fields, "llama3", "factor");
  rope.low_freq_factor = require_factor(fields, "llama3", "low_freq_factor");
  rope.high_freq_factor = require_factor(fields, "llama3", "high_freq_factor");
  constexpr const char* kOriginal = "original_max_position_embeddings";
  rope.original_max_position_embeddings = top.get_int(
      kOriginal, kPositions, fields.get_int(kOriginal, kPositions, config.max_position_embeddings));
  if (rope.high_freq_factor <= rope.low_freq_factor)
    throw Error(ErrorKind::invalid_input,
                fmt::format("\"high_freq_factor\" is {}, it must exceed \"low_freq_factor\", {}",
                            rope.high_freq_factor, rope.low_freq_factor),
                kHint);
}

/// Up to the length it was trained for, such a model rotates as if nothing were scaled.
void parse_dynamic(const ConfigFields& fields, ModelConfig& config) {
  config.max_position_embeddings = std::min(
      config.max_position_embeddings, fields.get_int("original_max_position_embeddings", kPositions,
                                                     config.max_position_embeddings));
  config.rope.dynamic_beyond = config.max_position_embeddings;
}

void refuse_partial_rotation(const ConfigFields& fields) {
  const std::optional<double> factor = fields.try_float("partial_rotary_factor", {0, 1});
  if (factor && *factor != 1)
    throw Error(
        ErrorKind::unsupported,
        fmt::format("\"partial_rotary_factor\" is {}; this architecture rotates whole heads",
                    *factor),
        "supported is 1");
}

void parse_scaling(const ConfigFields& fields, const ConfigFields& top, ModelConfig& config) {
  config.rope.theta = fields.get_float("rope_theta", kRopeThetas, config.rope.theta);
  refuse_partial_rotation(fields);
  std::optional<std::string> type = fields.try_string("rope_type");
  if (!type) type = fields.try_string("type");
  const std::string name = type.value_or("default");
  if (name == "default") return;
  if (name == "linear") {
    config.rope.scaling = RopeScaling::linear;
    config.rope.factor = require_factor(fields, "linear", "factor");
  } else if (name == "llama3") {
    parse_llama3(fields, top, config);
  } else if (name == "dynamic") {
    parse_dynamic(fields, config);
  } else if (name == "yarn" || name == "longrope" || name == "su") {
    throw Error(ErrorKind::unsupported,
                fmt::format("rope scaling {} is not supported: it changes the angles at every "
                            "length, so that running without it would give other results",
                            shown(name)),
                kSupported);
  } else {
    throw Error(ErrorKind::unsupported,
                fmt::format("rope scaling {} is not supported", shown(name)), kSupported);
  }
}

}  // namespace

void parse_rope(const ConfigFields& fields, ModelConfig& config) {
  config.rope.theta = fields.get_float("rope_theta", kRopeThetas, 10000.0);
  config.rope.rotary_dim = config.head_dim;
  refuse_partial_rotation(fields);
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    if (!fields.has(key) || fields.at(key).empty()) continue;
    if (!fields.at(key).is_object())
      throw Error(ErrorKind::invalid_input,
                  fmt::format("\"{}\" is {}, it must be an object", key, shown(fields.at(key))),
                  kHint);
    return parse_scaling(ConfigFields(fields.at(key)), fields, config);
  }
}

}  // namespace veloz::checkpoint
