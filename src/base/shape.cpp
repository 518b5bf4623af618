// SPDX-License-Identifier: Apache-2.0
#include "base/shape.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace veloz {

Shape::Shape(std::span<const int64_t> dims) : rank_(dims.size()) {
  VELOZ_CHECK(dims.size() <= kMaxRank, "a shape of rank {}, at most {} are held", dims.size(),
              kMaxRank);
  for (const int64_t dim : dims) VELOZ_CHECK(dim >= 0, "a negative extent, {}", dim);
  std::copy(dims.begin(), dims.end(), dims_.begin());
}

int64_t Shape::num_elements() const {
  int64_t product = 1;
  for (const int64_t dim : dims()) product *= dim;
  return product;
}

bool Shape::operator==(const Shape& other) const {
  return std::ranges::equal(dims(), other.dims());
}

std::string to_string(const Shape& shape) {
  return fmt::format("[{}]", fmt::join(shape.dims(), ", "));
}

}  // namespace veloz
