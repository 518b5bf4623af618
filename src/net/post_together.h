// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

namespace veloz::net {

/// Calls `post_all`. What it posts to exchanges from this thread is kept until it returns or
/// throws; then each I/O thread is woken once for all of it. Waking a thread is the dearest part of
/// handing it something.
void post_together(const std::function<void()>& post_all);

}  // namespace veloz::net
