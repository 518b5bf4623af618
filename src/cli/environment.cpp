// SPDX-License-Identifier: Apache-2.0
#include "cli/environment.h"

#include <cstdlib>

#include "base/error.h"

namespace veloz::cli {
namespace {

/// Of this program, or "" where neither variable is set.
std::filesystem::path cache_directory() {
  const auto variable = [](const char* name) {
    const char* const value = std::getenv(name);
    return std::filesystem::path(value == nullptr ? "" : value);
  };
  if (const auto cache = variable("XDG_CACHE_HOME"); cache.is_absolute()) return cache / "veloz";
  if (const auto home = variable("HOME"); home.is_absolute()) return home / ".cache" / "veloz";
  return {};
}

}  // namespace

std::filesystem::path default_engine_cache() {
  if (const auto directory = cache_directory(); !directory.empty()) return directory / "engines";
  throw Error(ErrorKind::invalid_input,
              "neither XDG_CACHE_HOME nor HOME is set, so there is no cache directory",
              "give one with --cache-dir");
}

std::filesystem::path default_tuning_cache() {
  const auto directory = cache_directory();
  return directory.empty() ? directory : directory / "tuning";
}

}  // namespace veloz::cli
