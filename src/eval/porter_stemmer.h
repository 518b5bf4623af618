// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace veloz::eval {

/// The stem of a word of a-z and 0-9: M. F. Porter, "An algorithm for suffix stripping", Program
/// 14(3), 1980, with the changes that NLTK's PorterStemmer makes in its default mode, because
/// ROUGE figures are published with those.
std::string porter_stem(std::string_view word);

}  // namespace veloz::eval
