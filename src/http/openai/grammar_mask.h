// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "grammar/grammar.h"
#include "serving/request.h"

namespace veloz::http::openai {

/// Holds one choice to a grammar.
std::unique_ptr<serving::TokenMask> make_grammar_mask(
    grammar::GrammarPtr grammar, std::shared_ptr<const grammar::Vocabulary> vocabulary);

}  // namespace veloz::http::openai
