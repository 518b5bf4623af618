// SPDX-License-Identifier: Apache-2.0
#include "cli/environment.h"

#include <cstdlib>

#include "base/error.h"

namespace veloz::cli {

std::filesystem::path default_engine_cache() {
  const auto variable = [](const char* name) {
    const char* const value = std::getenv(name);
    return std::filesystem::path(value == nullptr ? "" : value);
  };
  if (const auto cache = variable("XDG_CACHE_HOME"); cache.is_absolute())
    return cache / "veloz" / "engines";
  if (const auto home = variable("HOME"); home.is_absolute())
    return home / ".cache" / "veloz" / "engines";
  throw Error(ErrorKind::invalid_input,
              "neither XDG_CACHE_HOME nor HOME is set, so there is no cache directory",
              "give one with --cache-dir");
}

}  // namespace veloz::cli
