// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

namespace veloz::checkpoint {

/// Parses JSON that a stranger wrote: at most 64 levels deep, no key twice in one object. Throws
/// Error(corrupt_data) that says where. Included by this room's .cpp files only.
nlohmann::json parse_json(std::string_view text);

}  // namespace veloz::checkpoint
