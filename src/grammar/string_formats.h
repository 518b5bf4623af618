// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace veloz::grammar {

/// The regex (whole text) of texts of a JSON Schema format; a part of them where all would be
/// endless. Nothing for a format that is not known.
std::optional<std::string> format_pattern(std::string_view format);

/// The known ones, for messages.
std::string known_formats();

}  // namespace veloz::grammar
