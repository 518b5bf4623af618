// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "engine/plan.h"
#include "ops/kernel.h"

namespace veloz::runtime {

/// What runs a program on one device: a kernel for each step and a layout for each weight.
struct KernelChoice {
  std::vector<const ops::Kernel*> kernels;        // one per step of the program
  std::vector<const ops::WeightLayout*> stored;   // one per weight: as the engine holds it
  std::vector<const ops::WeightLayout*> layouts;  // one per weight: as the kernels want it
};

/// Chooses for each matrix the layout it is stored in if this registry has kernels for all its
/// readers, else the first layout that all of them accept, and rather either of these than one that
/// only a reference reads; for its scales and zeros that layout's companion; and then each step's
/// kernel. Throws Error(unsupported) where an op cannot run at all.
KernelChoice choose_kernels(const engine::Plan& plan, const engine::Program& program,
                            const ops::KernelRegistry& registry);

/// Has every chosen kernel prepare for steps of extents up to `most`, on the stream they will run
/// on. Returns what is to be said of it.
std::vector<std::string> prepare_kernels(const engine::Program& program, const KernelChoice& choice,
                                         Stream& stream, const ops::Binding& most);

}  // namespace veloz::runtime
