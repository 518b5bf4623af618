// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "benchmark/dataset.h"

namespace veloz::benchmark {

/// The usable requests of options.path (a sharegpt or custom file), in its order. Throws as
/// make_dataset.
std::vector<SampleRequest> read_sharegpt(const DatasetOptions& options, const PromptWriter& writer);
std::vector<SampleRequest> read_custom(const DatasetOptions& options, const PromptWriter& writer);

}  // namespace veloz::benchmark
