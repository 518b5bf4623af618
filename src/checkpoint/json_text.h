// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace veloz::checkpoint {

/// Parses JSON that a stranger wrote: at most 64 levels deep, at most a million values, no key
/// twice in one object. Throws Error(corrupt_data) that says where. Included by this room's .cpp
/// files only.
nlohmann::json parse_json(std::string_view text);

/// A value for a message: in quotes where it is text, ASCII without control characters, cut where
/// it is long.
std::string shown(const nlohmann::json& value);

/// Throws the Error(corrupt_data) for text that the parser gave up on at byte `position`.
[[noreturn]] void throw_parse_error(size_t position, const nlohmann::json::exception& e);

}  // namespace veloz::checkpoint
