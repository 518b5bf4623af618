// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace veloz::benchmark {

/// Colours that series take in turn, as classes "c0"... of strokes and "f0"... of fillings.
inline constexpr size_t kSvgColors = 6;

struct SvgSize {
  double width = 0;
  double height = 0;
};

/// What every chart begins with: a file that stands alone and follows light and dark mode.
std::string svg_head(std::string_view title, const SvgSize& size);
inline constexpr std::string_view kSvgEnd = "</svg>\n";

std::string svg_escape(std::string_view text);

/// `classes` as svg_head styles them ("t" a title, "p" bold, "l" small); `anchor` is start, middle
/// or end.
std::string svg_text(double x, double y, std::string_view classes, std::string_view anchor,
                     std::string_view text);

/// One text that ends at x, with a dot in the series' colour before each name.
std::string svg_legend(double x, double y, std::span<const std::string> names);

}  // namespace veloz::benchmark
