// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>

namespace veloz::cli {

/// Runs `end` on a thread of its own and waits for it, `limit` at most. False where it has not
/// returned by then: the thread goes on, so what it uses must not go away before the process does.
[[nodiscard]] bool ends_within(std::chrono::milliseconds limit, std::function<void()> end);

}  // namespace veloz::cli
