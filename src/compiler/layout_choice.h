// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "compiler/lower.h"

namespace veloz::compiler {

/// The layout in which the target's kernels want a weight: each of its readers must have a kernel
/// that accepts it; among those layouts, the one whose kernel stands first in the target's list for
/// the first reader. Throws Error(unsupported) naming the readers where no layout serves all.
LayoutChoice choose_layout(const graph::Graph& graph, const graph::UseMap& uses,
                           graph::ValueId weight, const ops::KernelRegistry& target);

}  // namespace veloz::compiler
