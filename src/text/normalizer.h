// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace veloz::text {

/// One rewriting of the text before it is cut: valid UTF-8 in, valid UTF-8 out.
using Normalizer = std::function<std::string(std::string)>;

/// Unicode normalisation form "NFC", "NFD", "NFKC" or "NFKD".
Normalizer unicode_normalizer(const std::string& form);
Normalizer lowercase_normalizer();
Normalizer prepend_normalizer(std::string prefix);
Normalizer replace_normalizer(const std::string& pattern, bool is_regex, std::string content);
Normalizer strip_normalizer(bool left, bool right);

}  // namespace veloz::text
