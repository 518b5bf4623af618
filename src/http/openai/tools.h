// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "http/openai/fields.h"
#include "http/openai/structured_output.h"

namespace veloz::http::openai {

/// A function that the model may call.
struct Tool {
  std::string name;
  Json parameters;  // JSON schema of an object; none: any object
};

struct ToolChoice {
  enum class Kind { none, automatic, required, named };
  Kind kind = Kind::none;
  std::string name = {};  // of Kind::named
};

/// `tools`, `tool_choice` and `parallel_tool_calls` of a request.
struct ToolFields {
  Json definitions;  // `tools` as it was sent, for the template
  std::vector<Tool> tools;
  ToolChoice choice;
  bool allows_parallel_calls = true;

  /// The answer can only be calls.
  bool is_forced() const {
    return choice.kind == ToolChoice::Kind::required || choice.kind == ToolChoice::Kind::named;
  }
  bool is_automatic() const { return choice.kind == ToolChoice::Kind::automatic; }
  /// The place in `tools` of choice.name, which is there.
  size_t named() const;
};

void visit_tool_fields(FieldVisitor& visitor, ToolFields& fields);
/// What follows from the fields together: with tools, the model may call them.
void settle_tool_fields(ToolFields& fields, bool has_choice);

/// The JSON schema of what a forced answer must be: the arguments of the named tool, or a list of
/// calls, {"name": ..., "parameters": ...}, of any tools.
std::string forced_schema(const ToolFields& fields);
/// That schema, with where each part of it came from.
StructuredOutput forced_output(const ToolFields& fields);

}  // namespace veloz::http::openai
