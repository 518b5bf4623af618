// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/clip_search.h"

#include <algorithm>
#include <array>
#include <vector>

#include "base/error.h"

namespace veloz::compress {
namespace {

/// X_g^T X_g of the columns of one group, [group, group].
Matrix group_products(const Matrix& x, int64_t begin, int64_t group) {
  Matrix products(group, group);
  for (int64_t t = 0; t < x.rows; ++t) {
    const float* const row = x.row(t) + begin;
    for (int64_t i = 0; i < group; ++i)
      for (int64_t j = 0; j < group; ++j) products.row(i)[j] += row[i] * row[j];
  }
  return products;
}

/// d^T P d: the squared length of X_g d.
double squared_output(const float* d, const Matrix& products) {
  double sum = 0;
  std::array<float, kMaxClipGroup> weighted{};
  for (int64_t i = 0; i < products.rows; ++i)
    for (int64_t j = 0; j < products.rows; ++j)
      weighted[static_cast<size_t>(j)] += d[i] * products.row(i)[j];
  for (int64_t j = 0; j < products.rows; ++j)
    sum += static_cast<double>(d[j]) * static_cast<double>(weighted[static_cast<size_t>(j)]);
  return sum;
}

Grid clip_grid(const float* w, const Matrix& products, const WeightFormat& format) {
  const int64_t group = products.rows;
  float low = 0;
  float high = 0;
  for (int64_t k = 0; k < group; ++k) {
    low = std::min(low, w[k]);
    high = std::max(high, w[k]);
  }
  Grid best;
  double best_error = -1;
  std::array<float, kMaxClipGroup> off;
  for (int i = 0; i < kRangeParts; ++i) {
    const Grid grid = grid_of(low * range_part(i), high * range_part(i), format);
    for (int64_t k = 0; k < group; ++k)
      off[static_cast<size_t>(k)] = round_to_grid(w[k], grid, format) - w[k];
    const double error = squared_output(off.data(), products);
    if (best_error >= 0 && error >= best_error) continue;
    best = grid;
    best_error = error;
  }
  return best;
}

}  // namespace

WeightGrids clip_grids(const Matrix& w, const Matrix& x, const WeightFormat& format,
                       const Machine& machine) {
  VELOZ_CHECK(format.group > 0 && format.group <= kMaxClipGroup, "a group of {} columns",
              format.group);
  WeightGrids grids{format.num_groups(w.columns), {}};
  grids.grids.resize(static_cast<size_t>(w.rows * grids.groups));
  std::vector<Matrix> products(static_cast<size_t>(grids.groups));
  machine.pool.for_range(grids.groups, 1, [&](int64_t begin, int64_t end) {
    for (int64_t g = begin; g < end; ++g)
      products[static_cast<size_t>(g)] = group_products(x, g * format.group, format.group);
  });
  machine.pool.for_range(w.rows, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n)
      for (int64_t g = 0; g < grids.groups; ++g)
        grids.row(n)[g] =
            clip_grid(w.row(n) + g * format.group, products[static_cast<size_t>(g)], format);
  });
  return grids;
}

}  // namespace veloz::compress
