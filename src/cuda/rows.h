// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ops/elementwise.h"
#include "ops/kernel.h"

/// Ops that work on one row at a time, on the GPU.
namespace veloz::cuda {

void add(ops::OpContext& context, const ops::AddArgs& args) noexcept;

}  // namespace veloz::cuda
