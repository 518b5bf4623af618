// SPDX-License-Identifier: Apache-2.0
#include "http/openai/schema_writer.h"

#include <fmt/format.h>

namespace veloz::http::openai {
namespace {

void append_text(std::string& out, std::string_view key, std::string_view text) {
  append_json_string(out, key);
  out += ':';
  append_json_string(out, text);
}

}  // namespace

void SchemaWriter::begin(std::string_view name, std::string_view doc) {
  if (!properties_.empty()) properties_ += ',';
  append_json_string(properties_, name);
  properties_ += ":{";
  append_text(properties_, "description", doc);
}

void SchemaWriter::begin_integer(std::string_view name, IntegerRange range, std::string_view doc) {
  begin(name, doc);
  properties_ += R"(,"type":["integer","null"])";
  if (range.min != IntegerRange{}.min) properties_ += fmt::format(R"(,"minimum":{})", range.min);
  if (range.max != IntegerRange{}.max) properties_ += fmt::format(R"(,"maximum":{})", range.max);
}

void SchemaWriter::boolean(std::string_view name, bool& value, std::string_view doc) {
  begin(name, doc);
  properties_ += fmt::format(R"(,"type":["boolean","null"],"default":{})", value);
  end();
}

void SchemaWriter::integer(std::string_view name, int64_t& value, IntegerRange range,
                           std::string_view doc) {
  begin_integer(name, range, doc);
  properties_ += fmt::format(R"(,"default":{})", value);
  end();
}

void SchemaWriter::integer(std::string_view name, std::optional<int64_t>&, IntegerRange range,
                           std::string_view doc) {
  begin_integer(name, range, doc);
  end();
}

void SchemaWriter::number(std::string_view name, double& value, NumberRange range,
                          std::string_view doc) {
  begin(name, doc);
  properties_ += fmt::format(R"(,"type":["number","null"],"default":{})", value);
  if (range.min != NumberRange{}.min)
    properties_ +=
        fmt::format(R"(,"{}":{})", range.excludes_min ? "exclusiveMinimum" : "minimum", range.min);
  if (range.max != NumberRange{}.max)
    properties_ +=
        fmt::format(R"(,"{}":{})", range.excludes_max ? "exclusiveMaximum" : "maximum", range.max);
  end();
}

void SchemaWriter::string(std::string_view name, std::string&, std::string_view doc) {
  begin(name, doc);
  properties_ += R"(,"type":["string","null"])";
  end();
}

void SchemaWriter::complex(const ComplexField& field) {
  begin(field.name, field.doc);
  if (field.is_required) {
    required_.emplace_back(field.name);
    properties_ += fmt::format(R"(,"allOf":[{}])", field.schema);
  } else {
    properties_ += fmt::format(R"(,"anyOf":[{},{{"type":"null"}}])", field.schema);
  }
  end();
}

void SchemaWriter::ignored(std::string_view name, std::string_view doc) {
  begin(name, doc);
  end();
}

std::string SchemaWriter::finish() {
  std::string out = R"({"type":"object","properties":{)" + properties_ + '}';
  if (!required_.empty()) {
    out += R"(,"required":[)";
    for (size_t i = 0; i < required_.size(); ++i) {
      if (i > 0) out += ',';
      append_json_string(out, required_[i]);
    }
    out += ']';
  }
  return out + '}';
}

}  // namespace veloz::http::openai
