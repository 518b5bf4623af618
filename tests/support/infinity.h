// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limits>

namespace veloz::test {

inline constexpr float kInfinity = std::numeric_limits<float>::infinity();
inline constexpr float kBan = -kInfinity;  // the logit of a token that must not come

}  // namespace veloz::test
