// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "veloz/build.h"

namespace veloz::api {

/// The engine of `options.model` in `cache_dir`, built there where it is missing. A lock file
/// beside it makes a second builder of the same engine wait for the first; it is released with its
/// process, however that ends.
ResolvedEngine find_or_build(const BuildOptions& options, const std::filesystem::path& cache_dir);

}  // namespace veloz::api
