// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "cpu/features.h"
#include "ops/kernel.h"

namespace veloz::cpu {

/// Kernels and weight layouts of a CPU with instruction set `isa`, best first within an op, the
/// references last. Needs no such CPU itself: engines are built for any target on any machine. Who
/// means to run them calls require_isa first.
ops::KernelRegistry make_registry(Isa isa);

}  // namespace veloz::cpu
