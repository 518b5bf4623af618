// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ctime>
#include <string>
#include <string_view>

namespace veloz::text::jinja {

/// strftime in the C locale, for the directives whose meaning does not depend on the system.
/// Throws Error(unsupported) for another directive.
std::string format_time(std::string_view format, const std::tm& time);

}  // namespace veloz::text::jinja
