// SPDX-License-Identifier: Apache-2.0
#include "compiler/pipeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/error.h"

namespace veloz::compiler {
namespace {

constexpr std::array<PassEntry, 7> kPipeline = {{
    {"canonicalise", canonicalise},
    {"quantize", quantize},
    {"fuse_qkv", fuse_qkv},
    {"fuse_rope_append", fuse_rope_append},
    {"fuse_gate_up", fuse_gate_up},
    {"fuse_add_norm", fuse_add_norm},
    {"fuse_quantize", fuse_quantize},
}};

void check_names(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (std::ranges::any_of(kPipeline, [&](const PassEntry& p) { return p.name == name; }))
      continue;
    std::vector<std::string_view> known;
    known.reserve(std::size(kPipeline));
    for (const PassEntry& entry : kPipeline) known.push_back(entry.name);
    throw Error(ErrorKind::invalid_input, fmt::format("there is no pass \"{}\"", name),
                fmt::format("the passes are {}", fmt::join(known, ", ")));
  }
}

}  // namespace

std::span<const PassEntry> pipeline() { return kPipeline; }

std::vector<PassRecord> run_pipeline(graph::Graph& graph, const PipelineOptions& options) {
  check_names(options.disabled_passes);
  std::vector<PassRecord> records;
  for (const PassEntry& entry : kPipeline) {
    PassRecord record{std::string(entry.name), false, {}};
    record.is_disabled =
        std::ranges::find(options.disabled_passes, entry.name) != options.disabled_passes.end();
    if (!record.is_disabled) record.report = entry.run(graph, {options.quantization});
    try {
      graph::verify(graph);
    } catch (const Error& e) {
      throw Error(ErrorKind::internal,
                  fmt::format("pass {} broke the graph: {}", entry.name, e.message()),
                  fmt::format("build with --disable-pass {} and report this", entry.name));
    }
    if (options.on_pass) options.on_pass(entry.name, graph);
    records.push_back(std::move(record));
  }
  return records;
}

}  // namespace veloz::compiler
