// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

namespace veloz::cli {

/// $XDG_CACHE_HOME/veloz/engines, or $HOME/.cache/veloz/engines. Throws Error(invalid_input) where
/// neither is set. Together with the flags'
/// `envname` this file is the only place that reads the environment.
std::filesystem::path default_engine_cache();
/// Likewise $XDG_CACHE_HOME/veloz/tuning, or "" where neither is set: then nothing is kept.
std::filesystem::path default_tuning_cache();

}  // namespace veloz::cli
