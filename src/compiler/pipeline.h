// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/passes/pass.h"
#include "graph/graph.h"

namespace veloz::compiler {

struct PassEntry {
  std::string_view name;
  Pass run;
};

/// The passes of every build, in order.
std::span<const PassEntry> pipeline();

struct PipelineOptions {
  std::vector<std::string> disabled_passes;  // names of `pipeline`; others are Error(invalid_input)
  const checkpoint::QuantPlan* quantization = nullptr;  // null: nothing is quantized
  /// Called after each pass with its name and the graph; empty where nobody looks.
  std::function<void(std::string_view pass, const graph::Graph&)> on_pass;
};

struct PassRecord {
  std::string pass;
  bool is_disabled = false;
  PassReport report;
};

/// Runs the pipeline on `graph`, verifying it after every pass (a broken graph is a bug:
/// Error(internal) that names the pass).
std::vector<PassRecord> run_pipeline(graph::Graph& graph, const PipelineOptions& options);

}  // namespace veloz::compiler
