// SPDX-License-Identifier: Apache-2.0
#include "http/openai/fields.h"

#include <fmt/format.h>

#include "http/openai/request_error.h"

namespace veloz::http::openai {

void refuse_field(FieldVisitor& visitor, std::string_view name, std::string_view hint) {
  visitor.complex({.name = name,
                   .schema = R"({"type":"null"})",
                   .doc = "Not supported: a value is refused.",
                   .read = [name, hint](const Json&) {
                     throw RequestError({.param = std::string(name)},
                                        fmt::format("\"{}\" is not supported", name),
                                        std::string(hint));
                   }});
}

}  // namespace veloz::http::openai
