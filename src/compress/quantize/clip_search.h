// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "compress/machine.h"
#include "compress/quantize/matrix.h"
#include "compress/quantize/weight_grid.h"

namespace veloz::compress {

/// The largest group whose range clip_grids searches: it takes group^2 multiplications a try.
inline constexpr int64_t kMaxClipGroup = 256;

/// AWQ's search for ranges: for each row and group the part of the full range (range_part) with
/// which the group's share of the outputs over the sampled inputs x [T, K] is nearest to the
/// original's. Outliers of the weight are cut where that helps the many.
/// `format.group` is at most kMaxClipGroup.
WeightGrids clip_grids(const Matrix& w, const Matrix& x, const WeightFormat& format,
                       const Machine& machine);

}  // namespace veloz::compress
