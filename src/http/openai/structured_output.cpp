// SPDX-License-Identifier: Apache-2.0
#include "http/openai/structured_output.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "http/openai/field_reader.h"
#include "http/openai/request_error.h"

namespace veloz::http::openai {
namespace {

constexpr std::string_view kResponseFormatSchema = R"({"type":"object","required":["type"],
  "properties":{"type":{"enum":["text","json_object","json_schema"]},
  "json_schema":{"type":"object","required":["schema"],"properties":{"name":{"type":"string"},
  "description":{"type":"string"},"schema":{"type":"object"},"strict":{"type":["boolean","null"]}}}}})";
constexpr std::string_view kStructuredOutputsSchema = R"({"type":"object","properties":{
  "json":{"type":["object","string"]},"regex":{"type":"string"},
  "choice":{"type":"array","items":{"type":"string"},"minItems":1},
  "grammar":{"type":"string"},"json_object":{"type":"boolean"}}})";
constexpr std::string_view kStringSchema = R"({"type":"string"})";
constexpr std::string_view kJsonSchemaSchema = R"({"type":["object","string"]})";
constexpr std::string_view kChoiceSchema =
    R"({"type":"array","items":{"type":"string"},"minItems":1})";
constexpr std::string_view kFlagSchema = R"({"type":"boolean"})";

void set(StructuredOutput& output, StructuredOutput next) {
  if (output.is_set())
    throw RequestError({.param = next.param},
                       fmt::format("\"{}\" and \"{}\" both say what the answer must look like",
                                   output.param, next.param),
                       "leave one of them out");
  output = std::move(next);
}

// A schema comes as an object or, in older clients, as the text of one.
std::string schema_text(const std::string& param, const Json& value) {
  if (value.is_string()) return std::string(value.as_string());
  if (!value.is_dict() && value.kind() != text::jinja::Kind::boolean)
    refuse(param, value, "a JSON schema");
  return json_text(value);
}

void read_one(StructuredOutput& output, const std::string& param, std::string_view name,
              const Json& value) {
  StructuredOutput next{.param = param};
  if (name == "json") {
    next.kind = StructuredOutput::Kind::json_schema;
    next.source = schema_text(param, value);
  } else if (name == "json_object") {
    if (!read_boolean(param, value)) return;
    next.kind = StructuredOutput::Kind::json_object;
  } else if (name == "choice") {
    next.kind = StructuredOutput::Kind::choice;
    next.choices = read_strings(param, value);
    if (next.choices.empty()) refuse(param, value, "a list of at least one string");
  } else {
    next.kind = name == "regex" ? StructuredOutput::Kind::regex : StructuredOutput::Kind::ebnf;
    next.source = read_string(param, value);
  }
  set(output, std::move(next));
}

void read_response_format(StructuredOutput& output, const Json& value) {
  const std::string param = "response_format";
  read_object(param, value);
  const Json& type = require_field(param, value, "type");
  const std::string name = read_string(param + ".type", type);
  if (name == "text") return;
  if (name == "json_object")
    return set(output, {.kind = StructuredOutput::Kind::json_object, .param = param});
  if (name != "json_schema")
    refuse(param + ".type", type, "\"text\", \"json_object\" or \"json_schema\"");
  const std::string inner = param + ".json_schema";
  const Json& format = read_object(inner, require_field(param, value, "json_schema"));
  const Json& schema = require_field(inner, format, "schema");
  set(output, {.kind = StructuredOutput::Kind::json_schema,
               .source = schema_text(inner + ".schema", schema),
               .param = inner + ".schema"});
}

void read_structured_outputs(StructuredOutput& output, const Json& value) {
  read_object("structured_outputs", value);
  for (const std::string_view name : {"json", "regex", "choice", "grammar", "json_object"})
    if (const Json* given = find_field(value, name))
      read_one(output, member("structured_outputs", name), name, *given);
  if (find_field(value, "structural_tag"))
    throw RequestError({.param = "structured_outputs.structural_tag"},
                       "\"structured_outputs.structural_tag\" is not supported",
                       "use \"json\", \"regex\", \"choice\" or \"grammar\"");
}

}  // namespace

void visit_structured_output(FieldVisitor& visitor, StructuredOutput& output) {
  visitor.complex(
      {.name = "response_format",
       .schema = kResponseFormatSchema,
       .doc = "What the answer must be: any text, any JSON object, or JSON of a schema.",
       .read = [&](const Json& value) { read_response_format(output, value); }});
  visitor.complex({.name = "structured_outputs",
                   .schema = kStructuredOutputsSchema,
                   .doc = "One of: a JSON schema, a regular expression, a choice of texts, a "
                          "grammar in GBNF, any JSON object.",
                   .read = [&](const Json& value) { read_structured_outputs(output, value); }});
  constexpr std::pair<std::string_view, std::string_view> kGuided[] = {
      {"guided_json", kJsonSchemaSchema},
      {"guided_regex", kStringSchema},
      {"guided_choice", kChoiceSchema},
      {"guided_grammar", kStringSchema},
      {"guided_json_object", kFlagSchema}};
  for (const auto& [name, schema] : kGuided)
    visitor.complex({.name = name,
                     .schema = schema,
                     .doc = "The older name of a member of `structured_outputs`.",
                     .read = [&output, name = name](const Json& value) {
                       read_one(output, std::string(name), name.substr(7), value);
                     }});
}

}  // namespace veloz::http::openai
