// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pthread.h>

namespace veloz {

/// The calling thread's name as `top -H`, debuggers and profilers show it: at most 15 characters.
inline void name_this_thread(const char* name) { pthread_setname_np(pthread_self(), name); }

}  // namespace veloz
