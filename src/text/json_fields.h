// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

namespace veloz::text {

/// Ids from files are below this, so that a table over them stays small.
inline constexpr int32_t kMaxTokenId = 1 << 20;
/// Added tokens are at most this long.
inline constexpr size_t kMaxAddedTokenBytes = 1024;

// Fields of a tokenizer's JSON, checked: each throws Error(corrupt_data) naming the field where it
// is not what it must be.

[[noreturn]] void refuse_json(const std::string& message);
/// Throws Error(unsupported): what ("normalizer"), the name there, and the names we know.
[[noreturn]] void refuse_component(std::string_view what, std::string_view name,
                                   std::string_view known);

/// JSON of bounded depth and number of values.
nlohmann::json parse_bounded_json(std::string_view text);

bool get_bool(const nlohmann::json& object, const char* key, bool fallback);
std::string get_string(const nlohmann::json& object, const char* key);
int32_t get_token_id(const nlohmann::json& value);
/// "type" of a component; `what` names the component in the message.
std::string get_type(const nlohmann::json& component, std::string_view what);
/// "pattern", and whether it is a regular expression: {"String": "..."}, {"Regex": "..."} or a
/// plain string, which is taken literally.
std::pair<std::string, bool> get_pattern(const nlohmann::json& component);

/// Calls `use` on the component, or on each member of a Sequence; nothing for null.
void for_each_component(const nlohmann::json& component, const char* members,
                        const std::function<void(const nlohmann::json&)>& use);

}  // namespace veloz::text
