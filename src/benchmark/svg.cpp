// SPDX-License-Identifier: Apache-2.0
#include "benchmark/svg.h"

#include <fmt/format.h>

namespace veloz::benchmark {
namespace {

constexpr std::string_view kStyle = R"(<style>
text{font:12px system-ui,sans-serif;fill:#57606a}.t{font-size:16px;font-weight:600;fill:#1f2328}
.p{font-weight:600;fill:#1f2328}.l{font-size:11px}.b{fill:#fff}.g{stroke:#d8dee4;stroke-width:1}
.a{stroke:none;opacity:.15}.s{fill:none;stroke-width:1.6;stroke-linejoin:round}
.d{fill:none;stroke-width:4;stroke-linecap:round;opacity:.55}
.r{fill:none;stroke:#57606a;stroke-width:1.6}.o{opacity:.6}
.c0{stroke:#0969da}.f0{fill:#0969da}.c1{stroke:#bc4c00}.f1{fill:#bc4c00}
.c2{stroke:#1a7f37}.f2{fill:#1a7f37}.c3{stroke:#8250df}.f3{fill:#8250df}
.c4{stroke:#bf3989}.f4{fill:#bf3989}.c5{stroke:#9a6700}.f5{fill:#9a6700}
@media(prefers-color-scheme:dark){text{fill:#9198a1}.t,.p{fill:#f0f6fc}.b{fill:#0d1117}.g{stroke:#2f353d}
.r{stroke:#9198a1}.c0{stroke:#4493f8}.f0{fill:#4493f8}.c1{stroke:#f0883e}.f1{fill:#f0883e}
.c2{stroke:#3fb950}.f2{fill:#3fb950}.c3{stroke:#ab7df8}.f3{fill:#ab7df8}
.c4{stroke:#db61a2}.f4{fill:#db61a2}.c5{stroke:#d29922}.f5{fill:#d29922}}
</style>
)";

}  // namespace

std::string svg_escape(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '&')
      escaped += "&amp;";
    else if (c == '<')
      escaped += "&lt;";
    else if (c == '>')
      escaped += "&gt;";
    else
      escaped += c;
  }
  return escaped;
}

std::string svg_head(std::string_view title, const SvgSize& size) {
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" width=\"{}\" "
      "height=\"{}\" role=\"img\">\n<title>{}</title>\n",
      size.width, size.height, size.width, size.height, svg_escape(title));
  svg += kStyle;
  return svg +
         fmt::format("<rect class=\"b\" width=\"{}\" height=\"{}\"/>\n", size.width, size.height);
}

std::string svg_text(double x, double y, std::string_view classes, std::string_view anchor,
                     std::string_view text) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" class=\"{}\" text-anchor=\"{}\">{}</text>\n",
                     x, y, classes, anchor, svg_escape(text));
}

std::string svg_legend(double x, double y, std::span<const std::string> names) {
  std::string text;
  for (size_t i = 0; i < names.size(); ++i)
    text += fmt::format("<tspan class=\"f{}\" dx=\"{}\">\u25cf</tspan> {}", i % kSvgColors,
                        i == 0 ? 0 : 14, svg_escape(names[i]));
  return fmt::format("<text x=\"{}\" y=\"{:.1f}\" class=\"l\" text-anchor=\"end\">{}</text>\n", x,
                     y, text);
}

}  // namespace veloz::benchmark
