// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <utility>
#include <vector>

#include "base/error.h"
#include "grammar/grammar_builder.h"
#include "text/utf8.h"

namespace veloz::grammar {

GrammarPtr compile_choice(std::span<const std::string> choices, const CompileLimits& limits) {
  if (choices.empty())
    throw Error(ErrorKind::invalid_input, "a choice needs at least one text to choose");
  GrammarBuilder builder(limits);
  size_t num_bytes = 0;
  std::vector<ExpressionId> texts;
  for (size_t i = 0; i < choices.size(); ++i) {
    num_bytes += choices[i].size();
    if (num_bytes > limits.max_source_bytes)
      throw Error(ErrorKind::invalid_input,
                  fmt::format("the choices have more than {} bytes", limits.max_source_bytes));
    if (text::to_valid_utf8(choices[i]) != choices[i])
      throw Error(ErrorKind::invalid_input, fmt::format("choice {} is no UTF-8", i));
    texts.push_back(builder.expressions().literal(choices[i]));
  }
  const RuleId root = builder.declare();
  builder.define(root, builder.expressions().choice(std::move(texts)));
  return builder.finish(root);
}

}  // namespace veloz::grammar
