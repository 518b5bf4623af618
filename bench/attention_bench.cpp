// SPDX-License-Identifier: Apache-2.0
#include "bench/harness.h"

namespace veloz::bench {

std::vector<Case> attention_cases(Machine&) { return {}; }

}  // namespace veloz::bench
