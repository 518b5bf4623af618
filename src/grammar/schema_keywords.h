// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace veloz::grammar {

/// What a keyword of JSON Schema does here.
enum class KeywordUse {
  ignored,     // says nothing about values, or is not known
  followed,    // $ref, allOf: others are meant too
  understood,  // limits values
  refused,     // would limit values, in a way that is not supported
};

KeywordUse use_of(std::string_view keyword);

}  // namespace veloz::grammar
