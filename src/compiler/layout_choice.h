// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>

#include "compiler/lower.h"

namespace veloz::compiler {

/// The layout in which the target's kernels want each weight. A matrix gets one for which each of
/// its readers has a kernel; among those layouts, the one whose kernel stands first in the target's
/// list for the first reader. Its scales and zeros get that layout's companion; other weights are
/// plain. Throws Error(unsupported) naming the weight where no layout serves all its readers.
std::map<graph::ValueId, LayoutChoice> choose_layouts(const graph::Graph& graph,
                                                      const ops::KernelRegistry& target);

}  // namespace veloz::compiler
