// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "serving/hash_model.h"
#include "veloz/types.h"

namespace veloz::serving {

/// One search that transformers ran, and what it found.
struct BeamCase {
  HashModel model;
  std::vector<int32_t> prompt;
  SamplingParams params;
  struct Output {
    std::vector<int32_t> tokens;
    float score = 0;
  };
  std::vector<Output> outputs;  // [n], best first
  std::string name;             // of the failure message
};

/// The cases of tests/golden/beam/beam.json.
std::vector<BeamCase> load_beam_cases();

}  // namespace veloz::serving
