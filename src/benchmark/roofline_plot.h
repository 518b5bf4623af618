// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace veloz::benchmark {

/// Something that was timed, by its work.
struct RooflinePoint {
  std::string label;
  double flops_per_byte = 0;
  double gflop_per_s = 0;
  double share_of_time = 0;  // of its series, 0 to 1: how large it is drawn
  std::string details;       // shown under the pointer
};

/// Points in one colour.
struct RooflineSeries {
  std::string name;
  std::vector<RooflinePoint> points;
};

/// A kind of arithmetic and its peak.
struct ComputeRoof {
  std::string name;
  double gflop_per_s = 0;
};

struct Roofline {
  std::string title;
  double gb_per_s = 0;             // of memory
  std::vector<ComputeRoof> roofs;  // one or more
  std::vector<RooflineSeries> series;
};

/// Both axes are logarithmic: arithmetic per byte, and its rate; above the lines nothing can be.
/// Points without arithmetic have no place and are left out. One SVG file that stands alone and
/// follows light and dark mode.
std::string roofline_plot(const Roofline& roofline);

}  // namespace veloz::benchmark
