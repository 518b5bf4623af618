// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "text/jinja/ast.h"

namespace veloz::text::jinja {

/// Parses a template. Throws Error(invalid_input) for what is no Jinja and Error(unsupported) for
/// Jinja beyond the subset; both name the construct and its line.
Body parse_template(std::string_view source);

}  // namespace veloz::text::jinja
