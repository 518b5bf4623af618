// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "engine/manifest.h"
#include "runtime/session.h"

namespace veloz::profile {

/// What lies around a decode step when the executor runs it: medians over the steps.
struct ServingGap {
  double step_s = 0;      // the session's step
  double sampling_s = 0;  // ops that turn its logits into tokens
  double host_s = 0;      // from its end to the next one's start, without those
  int64_t num_steps = 0;  // that the medians are of
};

struct ServingLoad {
  int64_t batch_size = 1;
  int64_t prompt_tokens = 16;
  int64_t new_tokens = 24;
  int64_t num_kv_blocks = 0;  // of the session
};

/// Generates greedily for `batch_size` requests through an executor on the session and times what
/// happens between the steps in which all of them decode.
ServingGap measure_serving_gap(runtime::Session& session, const engine::Manifest& manifest,
                               const ServingLoad& load);

}  // namespace veloz::profile
