// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "compiler/passes/pass.h"

namespace veloz::compiler {
namespace {

using graph::Graph;
using graph::Node;
using graph::UseMap;
using graph::ValueId;
using ops::Op;

/// Columns [begin, end) of `source`.
struct Columns {
  ValueId source;
  int64_t begin;
  int64_t end;
};

/// Nothing where `value` is no slice.
std::optional<Columns> columns_of(const Graph& graph, const UseMap& uses, ValueId value) {
  const std::optional<size_t> producer = uses.producer(value);
  if (!producer || graph.nodes()[*producer].op != Op::slice) return std::nullopt;
  const Node& slice = graph.nodes()[*producer];
  return Columns{slice.inputs[0], slice.attrs.get_int("begin"), slice.attrs.get_int("end")};
}

bool rotate_alike(const Node& a, const Node& b) {
  return a.inputs[1] == b.inputs[1] && a.attrs.get_int("head_dim") == b.attrs.get_int("head_dim") &&
         a.attrs.get_string("style") == b.attrs.get_string("style");
}

/// The nodes beside a kv_append that become one with it, or why they stay apart.
struct RopeMatch {
  std::optional<size_t> q;  // their ropes
  std::optional<size_t> k;
  ValueId qkv{};
  std::string reason;
};

RopeMatch apart(std::string reason) {
  return {.q = std::nullopt, .k = std::nullopt, .qkv = {}, .reason = std::move(reason)};
}

/// The rope of the columns before those of k that rotates as that of k does.
std::optional<size_t> find_q(const Graph& graph, const UseMap& uses, const Columns& k,
                             const Node& k_rope, const std::vector<bool>& is_dropped) {
  for (const size_t slice : uses.readers(k.source)) {
    const Node& columns = graph.nodes()[slice];
    if (columns.op != Op::slice || columns.attrs.get_int("begin") != 0 ||
        columns.attrs.get_int("end") != k.begin)
      continue;
    for (const size_t reader : uses.readers(columns.outputs[0]))
      if (graph.nodes()[reader].op == Op::rope && !is_dropped[reader] &&
          rotate_alike(graph.nodes()[reader], k_rope))
        return reader;
  }
  return std::nullopt;
}

RopeMatch match(const Graph& graph, const UseMap& uses, size_t append_idx,
                const std::vector<bool>& is_dropped) {
  const Node& append = graph.nodes()[append_idx];
  const std::string& k_name = graph.value(append.inputs[1]).name;
  const std::optional<size_t> k_idx = uses.producer(append.inputs[1]);
  if (!k_idx || graph.nodes()[*k_idx].op != Op::rope)
    return apart(fmt::format("its keys %{} are not rotated", k_name));
  const Node& k_rope = graph.nodes()[*k_idx];
  if (!uses.only_reader(k_rope.outputs[0]))
    return apart(fmt::format("its keys %{} have another reader", k_name));
  const std::optional<Columns> k = columns_of(graph, uses, k_rope.inputs[0]);
  const std::optional<Columns> v = columns_of(graph, uses, append.inputs[2]);
  if (!k || !v || k->source != v->source || k->end != v->begin ||
      v->end != graph.value(v->source).type.dims[1].value)
    return apart("its keys and values are not the last columns of one matrix");
  if (k_rope.attrs.get_int("head_dim") != append.attrs.get_int("head_dim"))
    return apart(fmt::format("its keys %{} are rotated in other heads", k_name));
  const std::optional<size_t> q_idx = find_q(graph, uses, *k, k_rope, is_dropped);
  if (!q_idx) return apart(fmt::format("no queries beside its keys are rotated as %{}", k_name));
  const ValueId q = graph.nodes()[*q_idx].outputs[0];
  // Readers are in order.
  if (!uses.readers(q).empty() && uses.readers(q).front() < append_idx)
    return apart(fmt::format("%{} is read before it", graph.value(q).name));
  return {.q = q_idx, .k = k_idx, .qkv = k->source, .reason = {}};
}

}  // namespace

PassReport fuse_rope_append(Graph& graph, const PassContext&) {
  PassReport report;
  const UseMap uses(graph);
  std::vector<Node> nodes = graph.nodes();
  std::vector<bool> is_dropped(nodes.size(), false);
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (nodes[i].op != Op::kv_append) continue;
    Node& append = nodes[i];
    const std::string& name = graph.value(append.outputs[0]).name;
    const RopeMatch found = match(graph, uses, i, is_dropped);
    if (!found.q) {
      report.remarks.push_back(fmt::format("%{} left alone: {}", name, found.reason));
      continue;
    }
    // Where the cache was written everything is known, and nobody has read q.
    const Node& q = nodes[*found.q];
    const Node& k = nodes[*found.k];
    ops::Attrs attrs = append.attrs;
    attrs.set("num_heads", q.attrs.get_int("num_heads"));
    attrs.set("style", q.attrs.get_string("style"));
    report.remarks.push_back(fmt::format("joined %{} and %{} with %{}",
                                         graph.value(q.outputs[0]).name,
                                         graph.value(k.outputs[0]).name, name));
    append = {Op::rope_append,
              {append.inputs[0], found.qkv, k.inputs[1], append.inputs[3]},
              {append.outputs[0], q.outputs[0]},
              std::move(attrs)};
    is_dropped[*found.q] = is_dropped[*found.k] = true;
    ++report.num_rewrites;
  }
  graph.replace_nodes(std::move(nodes), is_dropped);
  graph.remove_dead();
  return report;
}

}  // namespace veloz::compiler
