// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace veloz::compress {

/// Whether the whole of `name` is what `pattern` says, in which '*' stands for any characters, or
/// none.
bool matches_pattern(std::string_view name, std::string_view pattern);

}  // namespace veloz::compress
