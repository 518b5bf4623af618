// SPDX-License-Identifier: Apache-2.0
#include "engine/limits_json.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace veloz::engine {
namespace {

struct LimitField {
  const char* name;
  int64_t Limits::*field;
  int64_t max;
};

// Row and position numbers are int32 on the device, with room for a sum of two.
constexpr LimitField kLimitFields[] = {
    {"max_num_batched_tokens", &Limits::max_num_batched_tokens, int64_t{1} << 30},
    {"max_num_seqs", &Limits::max_num_seqs, int64_t{1} << 24},
    {"max_model_len", &Limits::max_model_len, int64_t{1} << 30},
    {"max_logit_rows", &Limits::max_logit_rows, int64_t{1} << 30},
    {"max_beam_width", &Limits::max_beam_width, int64_t{1} << 16},
    {"block_size", &Limits::block_size, int64_t{1} << 16},
};

}  // namespace

std::string dump_line(const nlohmann::ordered_json& value) {
  return value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

nlohmann::ordered_json limits_json(const Limits& limits) {
  nlohmann::ordered_json object;
  for (const LimitField& field : kLimitFields) object[field.name] = limits.*field.field;
  return object;
}

Limits parse_limits(const JsonNode& node) {
  node.expect_keys({"max_num_batched_tokens", "max_num_seqs", "max_model_len", "max_logit_rows",
                    "max_beam_width", "block_size"});
  Limits limits;
  for (const LimitField& field : kLimitFields)
    limits.*field.field = node.at(field.name).integer(1, field.max);
  return limits;
}

void verify_limits(const Limits& limits) {
  for (const LimitField& field : kLimitFields) {
    const int64_t value = limits.*field.field;
    if (value < 1 || value > field.max)
      throw Error(ErrorKind::corrupt_data, fmt::format("limit {} is {}, not between 1 and {}",
                                                       field.name, value, field.max));
  }
}

}  // namespace veloz::engine
