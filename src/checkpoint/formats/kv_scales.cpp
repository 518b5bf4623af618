// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "base/error.h"
#include "checkpoint/formats/format_reader.h"

namespace veloz::checkpoint {
namespace {

enum class Which { k, v, both };
// After the layer's prefix, such as "model.layers.0.self_attn.".
constexpr std::array<std::pair<std::string_view, Which>, 7> kScaleNames = {{
    {"k_proj.k_scale", Which::k},       // ModelOpt
    {"k_proj.output_scale", Which::k},  // compressed-tensors, until 2024
    {"k_scale", Which::k},
    {"v_proj.v_scale", Which::v},
    {"v_proj.output_scale", Which::v},
    {"v_scale", Which::v},
    {"kv_scale", Which::both},  // AutoFP8
}};

std::optional<Which> kind_of(std::string_view name) {
  for (const auto& [ending, which] : kScaleNames)
    if (name.ends_with(ending) && name.size() > ending.size() &&
        name[name.size() - ending.size() - 1] == '.')
      return which;
  return std::nullopt;
}

/// The first part of a name that is a number: "model.layers.12.self_attn.k_scale".
std::optional<int64_t> layer_of(std::string_view name) {
  while (!name.empty()) {
    const std::string_view part = name.substr(0, name.find('.'));
    int64_t layer = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), layer);
    if (error == std::errc() && end == part.data() + part.size() && layer >= 0) return layer;
    name.remove_prefix(std::min(name.size(), part.size() + 1));
  }
  return std::nullopt;
}

struct FoundScales {
  std::optional<double> k;
  std::optional<double> v;
};

}  // namespace

std::vector<KvScales> read_kv_scales(const FormatInput& input) {
  std::vector<FoundScales> found(static_cast<size_t>(input.num_layers));
  bool is_any = false;
  for (const std::string_view name : input.files.names()) {
    if (name.find('.') == std::string_view::npos) continue;
    const std::optional<Which> which = kind_of(name);
    const std::optional<int64_t> layer = layer_of(name);
    if (!which || !layer || *layer >= input.num_layers) continue;
    const size_t dot = name.rfind('.');
    const double scale = ModuleTensors(input.files, std::string(name.substr(0, dot)))
                             .read_scale(name.substr(dot + 1));
    FoundScales& scales = found[static_cast<size_t>(*layer)];
    if (which != Which::v) scales.k = scale;
    if (which != Which::k) scales.v = scale;
    is_any = true;
  }
  if (!is_any) return {};
  std::vector<KvScales> scales(found.size());
  for (size_t layer = 0; layer < found.size(); ++layer) {
    if (!found[layer].k || !found[layer].v)
      throw Error(ErrorKind::not_found,
                  fmt::format("layer {} has no {}_scale, other layers have scales of the KV cache",
                              layer, found[layer].k ? "v" : "k"),
                  "the checkpoint is incomplete; fetch it again");
    scales[layer] = {*found[layer].k, *found[layer].v};
  }
  return scales;
}

}  // namespace veloz::checkpoint
