// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ops/attention.h"
#include "ops/kernel.h"
#include "ops/kv_layout.h"

namespace veloz::cpu {

/// kv_append into a cache of any dtype, rows shared out over the threads.
void convert_and_append(ops::OpContext& context, const ops::KvAppendArgs& args) noexcept;
/// Its row t.
void convert_kv_row(const ops::KvAppendArgs& args, const ops::KvLayout& layout, int64_t t);

}  // namespace veloz::cpu
