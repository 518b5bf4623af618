// SPDX-License-Identifier: Apache-2.0
#include "grammar/regex.h"

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "grammar/pattern_reader.h"
#include "grammar/regex_tree.h"

namespace veloz::grammar {
namespace {

bool is_anchor(const RegexNode& node) {
  return node.kind == RegexNode::Kind::text_start || node.kind == RegexNode::Kind::text_end;
}

bool has_anchor(const RegexNode& node) {
  return is_anchor(node) || std::any_of(node.parts.begin(), node.parts.end(), has_anchor);
}

class RegexWriter {
 public:
  RegexWriter(GrammarBuilder& builder, std::string_view pattern, RegexMatch match,
              Spelling spelling)
      : expressions_(builder.expressions()),
        budget_(builder.budget()),
        reader_(pattern),
        match_(match),
        spelling_(spelling) {}

  /// Which ends of the pattern a node stands at, and must take care of.
  struct Ends {
    bool start = false;
    bool end = false;
  };

  ExpressionId write(const RegexNode& node, Ends ends) {
    budget_.tick();
    switch (node.kind) {
      case RegexNode::Kind::choice:
        return write_choice(node, ends);
      case RegexNode::Kind::sequence:
        return write_sequence(node.parts, ends);
      case RegexNode::Kind::characters:
      case RegexNode::Kind::repeat:
      case RegexNode::Kind::text_start:
      case RegexNode::Kind::text_end:
        return write_sequence({&node, 1}, ends);
    }
    return expressions_.nothing();
  }

 private:
  ExpressionId write_choice(const RegexNode& node, Ends ends) {
    std::vector<ExpressionId> alternatives;
    for (const RegexNode& part : node.parts) alternatives.push_back(write(part, ends));
    return expressions_.choice(std::move(alternatives));
  }

  ExpressionId write_sequence(std::span<const RegexNode> parts, Ends ends) {
    bool is_start_open = ends.start;
    bool is_end_open = ends.end;
    for (; is_start_open && !parts.empty() && parts.front().kind == RegexNode::Kind::text_start;
         parts = parts.subspan(1))
      is_start_open = false;
    for (; is_end_open && !parts.empty() && parts.back().kind == RegexNode::Kind::text_end;
         parts = parts.first(parts.size() - 1))
      is_end_open = false;
    // A part with anchors of its own takes care of the ends it stands at.
    const bool first_cares = !parts.empty() && has_anchor(parts.front());
    const bool last_cares = !parts.empty() && has_anchor(parts.back());
    std::vector<ExpressionId> written;
    if (is_start_open && !first_cares) written.push_back(anything());
    for (size_t i = 0; i < parts.size(); ++i) {
      const bool is_first = i == 0;
      const bool is_last = i + 1 == parts.size();
      written.push_back(write_part(
          parts[i], {.start = is_start_open && is_first, .end = is_end_open && is_last}));
    }
    if (is_end_open && !last_cares) written.push_back(anything());
    return written.empty() ? expressions_.literal("") : expressions_.sequence(std::move(written));
  }

  ExpressionId write_part(const RegexNode& node, Ends ends) {
    switch (node.kind) {
      case RegexNode::Kind::characters:
        return one_of(expressions_, node.characters, spelling_);
      case RegexNode::Kind::repeat:
        if (has_anchor(node)) refuse_anchor(node);
        return expressions_.repeat(write(node.parts.front(), {}), node.min, node.max);
      case RegexNode::Kind::sequence:
      case RegexNode::Kind::choice:
        return write(node, has_anchor(node) ? ends : Ends{});
      case RegexNode::Kind::text_start:
      case RegexNode::Kind::text_end:
        refuse_anchor(node);
    }
    return expressions_.nothing();
  }

  [[noreturn]] void refuse_anchor(const RegexNode& node) {
    reader_.refuse(node.offset, "\"^\" and \"$\" are supported at the ends of the pattern only");
  }

  ExpressionId anything() {
    if (match_ == RegexMatch::whole_text) return expressions_.literal("");
    return expressions_.repeat(one_of(expressions_, CodePointSet::all(), spelling_), 0, kUnbounded);
  }

  Expressions& expressions_;
  Budget& budget_;
  PatternReader reader_;
  RegexMatch match_;
  Spelling spelling_;
};

}  // namespace

ExpressionId regex_expression(GrammarBuilder& builder, std::string_view pattern, RegexMatch match,
                              Spelling spelling) {
  const RegexNode tree = parse_regex(pattern, builder.budget());
  return RegexWriter(builder, pattern, match, spelling).write(tree, {.start = true, .end = true});
}

GrammarPtr compile_regex(std::string_view pattern, const CompileLimits& limits) {
  GrammarBuilder builder(limits);
  const RuleId root = builder.declare();
  builder.define(root, regex_expression(builder, pattern, RegexMatch::whole_text, Spelling::plain));
  return builder.finish(root);
}

}  // namespace veloz::grammar
