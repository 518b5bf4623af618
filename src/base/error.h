// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/core.h>

#include <string>

#include "veloz/types.h"

namespace veloz {

/// Exit code of the command line for an error kind: 2 for wrong usage or bad input, 1 for a failed
/// job.
int exit_code(ErrorKind kind);

[[noreturn]] void check_failed(const char* condition, const char* file, int line,
                               const std::string& message);

}  // namespace veloz

/// A bug if false: throws Error(internal). Never guards user input.
#define VELOZ_CHECK(condition, ...)                                                      \
  do {                                                                                   \
    if (!(condition)) [[unlikely]]                                                       \
      ::veloz::check_failed(#condition, __FILE__, __LINE__, ::fmt::format(__VA_ARGS__)); \
  } while (false)

/// As VELOZ_CHECK, for hot loops: on in the dev and sanitizer presets only.
#ifdef VELOZ_DEBUG_CHECKS
#define VELOZ_DCHECK(condition, ...) VELOZ_CHECK(condition, __VA_ARGS__)
#else
#define VELOZ_DCHECK(condition, ...) \
  do {                               \
  } while (false)
#endif
