// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/json_text.h"

#include <fmt/format.h>

#include <set>
#include <string>
#include <vector>

#include "base/error.h"

namespace veloz::checkpoint {
namespace {

constexpr size_t kMaxDepth = 64;

/// Looks at the text before a tree is built from it: the parser's own SAX events come without
/// recursion.
class Guard : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(size_t) override { return enter(); }
  bool start_array(size_t) override { return enter(); }
  bool end_object() override { return leave(); }
  bool end_array() override { return leave(); }
  bool key(string_t& key) override {
    if (!keys_.back().insert(key).second)
      throw Error(ErrorKind::corrupt_data,
                  fmt::format("the key \"{}\" stands twice in one object", key));
    return true;
  }
  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception& e) override {
    throw Error(ErrorKind::corrupt_data,
                fmt::format("no valid JSON at byte {}: {}", position, e.what()));
  }

 private:
  bool enter() {
    if (keys_.size() >= kMaxDepth)
      throw Error(ErrorKind::corrupt_data,
                  fmt::format("JSON nested deeper than {} levels", kMaxDepth));
    keys_.emplace_back();
    return true;
  }
  bool leave() {
    keys_.pop_back();
    return true;
  }
  std::vector<std::set<std::string>> keys_;
};

}  // namespace

nlohmann::json parse_json(std::string_view text) {
  Guard guard;
  nlohmann::json::sax_parse(text, &guard);
  return nlohmann::json::parse(text);
}

}  // namespace veloz::checkpoint
