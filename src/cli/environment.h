// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

namespace veloz::cli {

/// $XDG_CACHE_HOME/veloz/engines, or $HOME/.cache/veloz/engines. Throws Error(invalid_input) where
/// neither is set. Together with the flags' `envname` the only place that reads the environment.
std::filesystem::path default_engine_cache();

}  // namespace veloz::cli
