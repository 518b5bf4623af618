// SPDX-License-Identifier: Apache-2.0
#include "text/json_fields.h"

#include <fmt/format.h>

#include "base/error.h"

namespace veloz::text {

using nlohmann::json;

namespace {

constexpr int kMaxDepth = 64;
constexpr int64_t kMaxValues = int64_t{1} << 23;  // about 16 bytes each, and the strings

void visit(const json& component, const char* members, int depth,
           const std::function<void(const json&)>& use) {
  if (component.is_null()) return;
  if (depth > kMaxDepth) refuse_json(fmt::format("components nested deeper than {}", kMaxDepth));
  if (get_type(component, "a component") != "Sequence") {
    use(component);
    return;
  }
  const auto list = component.find(members);
  if (list == component.end() || !list->is_array())
    refuse_json(fmt::format("a Sequence has no \"{}\"", members));
  for (const json& member : *list) visit(member, members, depth + 1, use);
}

}  // namespace

void refuse_json(const std::string& message) {
  throw Error(ErrorKind::corrupt_data, message,
              "the file is damaged or no tokenizer's; download it again");
}

void refuse_component(std::string_view what, std::string_view name, std::string_view known) {
  throw Error(ErrorKind::unsupported, fmt::format("{} \"{}\" is not supported", what, name),
              fmt::format("supported are {}", known));
}

json parse_bounded_json(std::string_view text) {
  int64_t num_values = 0;
  const json::parser_callback_t bound = [&](int depth, json::parse_event_t, json&) {
    if (depth > kMaxDepth) refuse_json(fmt::format("JSON nested deeper than {} levels", kMaxDepth));
    if (++num_values > kMaxValues)
      refuse_json(fmt::format("JSON of more than {} values", kMaxValues));
    return true;
  };
  try {
    return json::parse(text, bound);
  } catch (const json::exception& e) {
    refuse_json(fmt::format("no valid JSON: {}", e.what()));
  }
}

bool get_bool(const json& object, const char* key, bool fallback) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return fallback;
  if (!found->is_boolean()) refuse_json(fmt::format("\"{}\" is no boolean", key));
  return found->get<bool>();
}

std::string get_string(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string())
    refuse_json(fmt::format("\"{}\" is missing or no string", key));
  return found->get<std::string>();
}

int32_t get_token_id(const json& value) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() >= static_cast<uint64_t>(kMaxTokenId))
    refuse_json(
        fmt::format("{} is no token id (0 to {})", value.dump().substr(0, 64), kMaxTokenId - 1));
  return value.get<int32_t>();
}

std::string get_type(const json& component, std::string_view what) {
  if (!component.is_object() || !component.contains("type") || !component["type"].is_string())
    refuse_json(fmt::format("{} has no type", what));
  return component["type"].get<std::string>();
}

std::pair<std::string, bool> get_pattern(const json& component) {
  const auto found = component.find("pattern");
  if (found != component.end() && found->is_string()) return {found->get<std::string>(), false};
  if (found != component.end() && found->is_object()) {
    if (found->contains("String")) return {get_string(*found, "String"), false};
    if (found->contains("Regex")) return {get_string(*found, "Regex"), true};
  }
  refuse_json("\"pattern\" is neither String nor Regex");
}

void for_each_component(const json& component, const char* members,
                        const std::function<void(const json&)>& use) {
  visit(component, members, 0, use);
}

}  // namespace veloz::text
