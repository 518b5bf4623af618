// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ops/attention.h"
#include "ops/kernel.h"

namespace veloz::cpu {

/// kv_append into a cache of any dtype, rows shared out over the threads.
void convert_and_append(ops::OpContext& context, const ops::KvAppendArgs& args) noexcept;

}  // namespace veloz::cpu
