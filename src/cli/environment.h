// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

/// Together with the flags' `envname` the only place that reads the environment.
namespace veloz::cli {

/// $XDG_CACHE_HOME/veloz/engines, or $HOME/.cache/veloz/engines. Throws Error(invalid_input) where
/// neither is set.
std::filesystem::path default_engine_cache();

/// veloz/tuning in the same place, or "" where there is none.
std::filesystem::path default_tuning_directory();

}  // namespace veloz::cli
