// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "compress/quantize/matrix.h"

namespace veloz::compress {

/// Which numbers a quantized weight can hold.
struct WeightFormat {
  DType dtype = DType::int8;   // int8, fp8_e4m3 or uint4x2
  int64_t group = 0;           // columns that share a scale; 0: the whole row
  bool is_per_tensor = false;  // all rows share one scale; group is 0 then
  bool has_zeros = false;      // asymmetric, of uint4x2
  DType scale_dtype = DType::fp32;

  int64_t num_groups(int64_t columns) const { return group == 0 ? 1 : columns / group; }
};

/// The numbers of one group: (code - zero) * scale. A group of zeros has scale 0.
struct Grid {
  float scale = 0;
  float zero = 0;  // a code; of symmetric uint4x2 it is 8, of others 0
};

/// The grid of a weight: one per row and group, [rows, groups].
struct WeightGrids {
  int64_t groups = 1;
  std::vector<Grid> grids;

  const Grid* row(int64_t n) const { return grids.data() + n * groups; }
  Grid* row(int64_t n) { return grids.data() + n * groups; }
};

/// The grid that spans [low, high] (low <= 0 <= high), its scale rounded to the format's dtype.
Grid grid_of(float low, float high, const WeightFormat& format);

/// The code nearest to `value` on the grid, saturated, as ops/quantize_weights.h rounds.
uint8_t encode(float value, const Grid& grid, const WeightFormat& format);
/// What the code of `value` stands for.
float round_to_grid(float value, const Grid& grid, const WeightFormat& format);
/// Rounds `count` neighbours of one row that begin at column `begin`; `grids` are the row's.
void round_to_grids(const float* values, int64_t begin, int64_t count, const Grid* grids,
                    const WeightFormat& format, float* rounded);
Matrix round_to_grids(const Matrix& w, const WeightGrids& grids, const WeightFormat& format,
                      ThreadPool& pool);

/// How a range is chosen: that of the largest magnitude, or a part of it with the smallest squared
/// error (weights: 20 parts from 1 to 0.5).
enum class RangeMethod { amax, percentile, mse };
inline constexpr int kRangeParts = 20;
/// The parts of the range a search tries: 1, 0.975 ... 0.525.
constexpr float range_part(int i) { return 1.0f - 0.5f * static_cast<float>(i) / kRangeParts; }

/// Grids for the weight by its values alone. Values must be finite. `method` is amax or mse.
WeightGrids choose_grids(const Matrix& w, const WeightFormat& format, RangeMethod method,
                         ThreadPool& pool);

/// Codes and scales as ops/quantized_linear.h has them.
struct QuantizedWeight {
  WeightFormat format;
  int64_t rows = 0;
  int64_t columns = 0;
  std::vector<uint8_t> codes;  // [rows, columns], or [rows, columns / 2] of uint4x2
  WeightGrids grids;
};

/// Rounds every value to its grid's nearest number. A weight that lies on its grids comes back from
/// `decode` with the same bits.
QuantizedWeight encode(const Matrix& w, WeightGrids grids, const WeightFormat& format,
                       ThreadPool& pool);
Matrix decode(const QuantizedWeight& weight, ThreadPool& pool);

}  // namespace veloz::compress
