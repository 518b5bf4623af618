// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "http/openai/fields.h"

namespace veloz::http::openai {

/// What the text of an answer must look like, as the client wrote it.
struct StructuredOutput {
  enum class Kind { none, json_object, json_schema, regex, choice, ebnf };
  /// One of several schemas of the client's that `source` is made of.
  struct Part {
    std::string pointer;  // where it stands in `source`
    std::string param;    // the field that it came in
  };
  Kind kind = Kind::none;
  std::string source = {};                // the schema, pattern or grammar
  std::vector<std::string> choices = {};  // of Kind::choice
  std::string param = {};                 // the field that asked for it
  std::vector<Part> parts = {};

  bool is_set() const { return kind != Kind::none; }
};

/// `response_format`, `structured_outputs` and vLLM's older `guided_*`. Two at once are refused.
void visit_structured_output(FieldVisitor& visitor, StructuredOutput& output);

}  // namespace veloz::http::openai
