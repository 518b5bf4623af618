// SPDX-License-Identifier: Apache-2.0
#include "http/openai/tools.h"

#include <fmt/format.h>

#include <algorithm>

#include "http/openai/field_reader.h"
#include "http/openai/request_error.h"

namespace veloz::http::openai {
namespace {

constexpr size_t kMaxTools = 256;
constexpr size_t kMaxToolNameBytes = 64;

constexpr std::string_view kToolsSchema =
    R"({"type":"array","maxItems":256,"items":{"type":"object","required":["type","function"],
  "properties":{"type":{"const":"function"},"function":{"type":"object","required":["name"],
  "properties":{"name":{"type":"string","pattern":"^[A-Za-z0-9_.-]{1,64}$"},
  "description":{"type":"string"},"parameters":{"type":"object","properties":{"type":{"anyOf":[
  {"enum":["object",null]},{"type":"array","contains":{"const":"object"}}]}}},
  "strict":{"type":["boolean","null"]}}}}}})";
constexpr std::string_view kToolChoiceSchema =
    R"({"anyOf":[{"enum":["none","auto","required"]},{"type":"object",
  "required":["type","function"],"properties":{"type":{"const":"function"},"function":{
  "type":"object","required":["name"],"properties":{"name":{"type":"string"}}}}}]})";

void check_tool_name(const std::string& param, const Json& value) {
  const std::string name = read_string(param, value);
  const bool is_fit =
      !name.empty() && name.size() <= kMaxToolNameBytes &&
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") ==
          std::string::npos;
  if (!is_fit)
    refuse(param, value, fmt::format("1 to {} letters, digits or any of _-.", kMaxToolNameBytes));
}

bool is_object(const Json& type) { return type.is_string() && type.as_string() == "object"; }

// Arguments are an object, whatever else the schema allows.
Json read_parameters(const std::string& param, const Json& value) {
  Json::Pairs pairs = read_object(param, value).pairs();
  const Json* type = find_field(value, "type");
  const bool is_fit = type == nullptr || is_object(*type) ||
                      (type->is_sequence() && std::ranges::any_of(type->items(), is_object));
  if (!is_fit) refuse(param + ".type", *type, "\"object\"");
  // The last of two keys gives the value.
  pairs.emplace_back(Json::string("type"), Json::string("object"));
  return Json::dict(std::move(pairs));
}

Tool read_tool(const std::string& param, const Json& value) {
  read_object(param, value);
  const Json& type = require_field(param, value, "type");
  if (!type.is_string() || type.as_string() != "function")
    refuse(param + ".type", type, "\"function\"");
  const std::string inner = param + ".function";
  const Json& function = read_object(inner, require_field(param, value, "function"));
  const Json& name = require_field(inner, function, "name");
  check_tool_name(inner + ".name", name);
  Tool tool{.name = std::string(name.as_string()), .parameters = {}};
  if (const Json* text = find_field(function, "description"))
    read_string(inner + ".description", *text);
  if (const Json* parameters = find_field(function, "parameters"))
    tool.parameters = read_parameters(inner + ".parameters", *parameters);
  return tool;
}

void read_tools(ToolFields& fields, const Json& value) {
  const Json::Items& items = read_list("tools", value).items();
  if (items.size() > kMaxTools)
    refuse("tools", value, fmt::format("a list of at most {} tools", kMaxTools));
  for (const Json& item : items) {
    const std::string param = element("tools", fields.tools.size());
    Tool tool = read_tool(param, item);
    for (const Tool& other : fields.tools)
      if (other.name == tool.name)
        throw RequestError({.param = param + ".function.name"},
                           fmt::format("two tools have the name \"{}\"", tool.name));
    fields.tools.push_back(std::move(tool));
  }
  if (!fields.tools.empty()) fields.definitions = value;
}

void read_tool_choice(ToolChoice& choice, const Json& value) {
  using Kind = ToolChoice::Kind;
  constexpr std::string_view kExpected =
      R"("none", "auto", "required" or {"type": "function", "function": {"name": "..."}})";
  if (value.is_string()) {
    const std::string_view name = value.as_string();
    if (name != "none" && name != "auto" && name != "required")
      refuse("tool_choice", value, kExpected);
    choice.kind = name == "none" ? Kind::none : name == "auto" ? Kind::automatic : Kind::required;
    return;
  }
  if (!value.is_dict()) refuse("tool_choice", value, kExpected);
  const Json& type = require_field("tool_choice", value, "type");
  if (!type.is_string() || type.as_string() != "function")
    refuse("tool_choice.type", type, "\"function\"");
  const Json& function =
      read_object("tool_choice.function", require_field("tool_choice", value, "function"));
  choice.kind = Kind::named;
  choice.name = read_string("tool_choice.function.name",
                            require_field("tool_choice.function", function, "name"));
}

// References into a schema that moves to `root` of another one.
void write_moved_schema(JsonWriter& writer, const Json& schema, const std::string& root) {
  if (schema.is_sequence()) {
    writer.begin_array();
    for (const Json& item : schema.items()) write_moved_schema(writer, item, root);
    writer.end_array();
  } else if (schema.is_dict()) {
    writer.begin_object();
    for (const auto& [key, value] : schema.pairs()) {
      writer.key(key.as_string());
      if (key.as_string() == "$ref" && value.is_string() && value.as_string().starts_with("#"))
        writer.value(root + std::string(value.as_string().substr(1)));
      else
        write_moved_schema(writer, value, root);
    }
    writer.end_object();
  } else {
    writer.value(schema);
  }
}

constexpr std::string_view kAnyObject = R"({"type":"object"})";

/// Where a tool's parameters stand in the schema of all tools.
std::string pointer_of(size_t tool_idx) { return fmt::format("/$defs/tool_{}", tool_idx); }

std::string parameters_param(size_t tool_idx) {
  return element("tools", tool_idx) + ".function.parameters";
}

std::string schema_of(const Tool& tool) {
  return tool.parameters.is_dict() ? json_text(tool.parameters) : std::string(kAnyObject);
}

}  // namespace

size_t ToolFields::named() const {
  const auto found = std::ranges::find(tools, choice.name, &Tool::name);
  return static_cast<size_t>(found - tools.begin());
}

void visit_tool_fields(FieldVisitor& visitor, ToolFields& fields) {
  visitor.complex({.name = "tools",
                   .schema = kToolsSchema,
                   .doc = "Functions that the model may call, 256 at most.",
                   .read = [&fields](const Json& value) { read_tools(fields, value); }});
  visitor.complex(
      {.name = "tool_choice",
       .schema = kToolChoiceSchema,
       .doc = "`auto`: the model decides, in its template's own format. `required` or "
              "a function: the answer is forced to be calls. `none`: text.",
       .read = [&fields](const Json& value) { read_tool_choice(fields.choice, value); }});
  visitor.boolean("parallel_tool_calls", fields.allows_parallel_calls,
                  "The answer may hold more than one call.");
}

void settle_tool_fields(ToolFields& fields, bool has_choice) {
  using Kind = ToolChoice::Kind;
  if (!has_choice) fields.choice.kind = fields.tools.empty() ? Kind::none : Kind::automatic;
  if (fields.tools.empty() && fields.is_automatic()) fields.choice.kind = Kind::none;
  if (fields.tools.empty() && fields.choice.kind != Kind::none)
    throw RequestError({.param = "tool_choice"},
                       "\"tool_choice\" asks for a call, and there are "
                       "no \"tools\"");
  if (fields.choice.kind != Kind::named) return;
  for (const Tool& tool : fields.tools)
    if (tool.name == fields.choice.name) return;
  throw RequestError({.param = "tool_choice.function.name"},
                     fmt::format("\"tools\" has no function \"{}\"", fields.choice.name));
}

std::string forced_schema(const ToolFields& fields) {
  if (fields.choice.kind == ToolChoice::Kind::named) return schema_of(fields.tools[fields.named()]);
  std::string out;
  JsonWriter writer(out);
  writer.begin_object().field("type", "array").field("minItems", int64_t{1});
  if (!fields.allows_parallel_calls) writer.field("maxItems", int64_t{1});
  writer.key("items").begin_object().key("anyOf").begin_array();
  for (size_t i = 0; i < fields.tools.size(); ++i) {
    writer.begin_object().field("type", "object").key("properties").begin_object();
    writer.key("name").begin_object().field("const", fields.tools[i].name).end_object();
    writer.key("parameters").begin_object().field("$ref", "#" + pointer_of(i)).end_object();
    writer.end_object().key("required").raw(R"(["name","parameters"])");
    writer.field("additionalProperties", false).end_object();
  }
  writer.end_array().end_object().key("$defs").begin_object();
  for (size_t i = 0; i < fields.tools.size(); ++i) {
    writer.key(fmt::format("tool_{}", i));
    if (fields.tools[i].parameters.is_dict())
      write_moved_schema(writer, fields.tools[i].parameters, "#" + pointer_of(i));
    else
      writer.raw(kAnyObject);
  }
  writer.end_object().end_object();
  return out;
}

StructuredOutput forced_output(const ToolFields& fields) {
  StructuredOutput output{.kind = StructuredOutput::Kind::json_schema,
                          .source = forced_schema(fields),
                          .param = "tools"};
  if (fields.choice.kind == ToolChoice::Kind::named) {
    output.param = parameters_param(fields.named());
    return output;
  }
  for (size_t i = 0; i < fields.tools.size(); ++i)
    output.parts.push_back({.pointer = pointer_of(i), .param = parameters_param(i)});
  return output;
}

}  // namespace veloz::http::openai
