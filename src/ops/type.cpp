// SPDX-License-Identifier: Apache-2.0
#include "ops/type.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>

#include "base/error.h"

namespace veloz::ops {
namespace {

constexpr std::array<std::string_view, kNumSymbols> kSymbolNames = {"none", "T", "R",
                                                                    "S",    "B", "N"};

std::optional<Dim> try_parse_dim(std::string_view text) {
  for (size_t i = 1; i < kNumSymbols; ++i)
    if (text == kSymbolNames[i]) return Dim(static_cast<Symbol>(i));
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool is_canonical = !text.empty() && text[0] != '-' && (text[0] != '0' || text == "0");
  if (error != std::errc() || end != text.data() + text.size() || !is_canonical)
    return std::nullopt;
  return Dim(value);
}

[[noreturn]] void throw_bad_type(std::string_view text, const std::string& why) {
  throw Error(ErrorKind::corrupt_data,
              fmt::format("\"{}\" is no value type: {}", text.substr(0, 100), why),
              "a type reads like bf16[T,2048], with the symbols T, R, S, B and N");
}

}  // namespace

std::string_view to_string(Symbol symbol) { return kSymbolNames.at(static_cast<size_t>(symbol)); }

Shape ValueType::bind(const Binding& binding) const {
  std::array<int64_t, Shape::kMaxRank> extents{};
  VELOZ_CHECK(dims.size() <= extents.size(), "a type of rank {}", dims.size());
  for (size_t i = 0; i < dims.size(); ++i)
    extents[i] =
        dims[i].is_constant() ? dims[i].value : binding[static_cast<size_t>(dims[i].symbol)];
  return Shape(std::span<const int64_t>(extents.data(), dims.size()));
}

std::string to_string(const ValueType& type) {
  std::string text(veloz::to_string(type.dtype));
  text += '[';
  for (size_t i = 0; i < type.dims.size(); ++i) {
    if (i > 0) text += ',';
    const Dim& dim = type.dims[i];
    text += dim.is_constant() ? fmt::format("{}", dim.value) : std::string(to_string(dim.symbol));
  }
  text += ']';
  return text;
}

ValueType parse_value_type(std::string_view text) {
  const size_t bracket = text.find('[');
  if (bracket == std::string_view::npos || text.back() != ']')
    throw_bad_type(text, "the extents in brackets are missing");
  const std::optional<DType> dtype = try_parse_dtype(text.substr(0, bracket));
  if (!dtype)
    throw_bad_type(text,
                   fmt::format("unknown dtype \"{}\"", text.substr(0, bracket).substr(0, 40)));

  ValueType type{*dtype, {}};
  std::string_view rest = text.substr(bracket + 1, text.size() - bracket - 2);
  if (rest.empty()) return type;
  while (true) {
    const size_t comma = rest.find(',');
    const std::string_view item = rest.substr(0, comma);
    const std::optional<Dim> dim = try_parse_dim(item);
    if (!dim)
      throw_bad_type(
          text, fmt::format("extent \"{}\" is neither a symbol nor a count", item.substr(0, 40)));
    if (type.dims.size() == Shape::kMaxRank)
      throw_bad_type(text, fmt::format("more than {} extents", Shape::kMaxRank));
    type.dims.push_back(*dim);
    if (comma == std::string_view::npos) return type;
    rest.remove_prefix(comma + 1);
  }
}

}  // namespace veloz::ops
