// SPDX-License-Identifier: Apache-2.0
#include "cli/environment.h"

#include <cstdlib>

#include "base/error.h"

namespace veloz::cli {
namespace {

/// Of the user's caches, ours; "" where the environment names no place.
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
  const std::filesystem::path cache = cache_directory();
  if (cache.empty())
    throw Error(ErrorKind::invalid_input,
                "neither XDG_CACHE_HOME nor HOME is set, so there is no cache directory",
                "give one with --cache-dir");
  return cache / "engines";
}

std::filesystem::path default_tuning_directory() {
  const std::filesystem::path cache = cache_directory();
  return cache.empty() ? cache : cache / "tuning";
}

}  // namespace veloz::cli
