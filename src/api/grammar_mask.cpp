// SPDX-License-Identifier: Apache-2.0
#include "api/grammar_mask.h"

#include <fmt/format.h>

#include <utility>

#include "base/error.h"

namespace veloz::api {

GrammarMask::GrammarMask(grammar::GrammarPtr grammar,
                         std::shared_ptr<const grammar::Vocabulary> vocabulary)
    : matcher_(std::move(grammar), std::move(vocabulary)) {}

void GrammarMask::accept(int32_t token) {
  if (!matcher_.accept(token))
    throw Error(ErrorKind::internal, fmt::format("token {} was chosen against the grammar", token));
}

}  // namespace veloz::api
