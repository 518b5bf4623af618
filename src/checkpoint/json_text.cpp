// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/json_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <vector>

#include "base/error.h"

namespace veloz::checkpoint {
namespace {

constexpr size_t kMaxDepth = 64;
constexpr size_t kMaxValues = 1'000'000;  // a tree takes up to 100 bytes for each
constexpr size_t kMaxShown = 160;
constexpr const char* kHint =
    "the file is damaged or not the one the model was published with; download it again";

std::string cut(std::string text) {
  if (text.size() <= kMaxShown) return text;
  text.resize(kMaxShown - 3);
  return text + "...";
}

/// Looks at the text before a tree is built from it: the parser's own SAX events come without
/// recursion.
class Guard : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return count(); }
  bool boolean(bool) override { return count(); }
  bool number_integer(number_integer_t) override { return count(); }
  bool number_unsigned(number_unsigned_t) override { return count(); }
  bool number_float(number_float_t, const string_t&) override { return count(); }
  bool string(string_t&) override { return count(); }
  bool binary(binary_t&) override { return count(); }
  bool start_object(size_t) override { return enter(); }
  bool start_array(size_t) override { return enter(); }
  bool end_object() override { return leave(); }
  bool end_array() override { return leave(); }
  bool key(string_t& key) override {
    if (!keys_.back().insert(key).second)
      throw Error(ErrorKind::corrupt_data,
                  fmt::format("the key {} stands twice in one object", shown(key)), kHint);
    return true;
  }
  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception& e) override {
    throw_parse_error(position, e);
  }

 private:
  bool count() {
    if (++num_values_ > kMaxValues)
      throw Error(
          ErrorKind::corrupt_data,
          fmt::format("JSON of more than {} values, which are the most that are read", kMaxValues),
          kHint);
    return true;
  }
  bool enter() {
    if (keys_.size() >= kMaxDepth)
      throw Error(ErrorKind::corrupt_data,
                  fmt::format("JSON nested deeper than {} levels", kMaxDepth), kHint);
    keys_.emplace_back();
    return count();
  }
  bool leave() {
    keys_.pop_back();
    return true;
  }
  std::vector<std::set<std::string>> keys_;
  size_t num_values_ = 0;
};

}  // namespace

nlohmann::json parse_json(std::string_view text) {
  Guard guard;
  nlohmann::json::sax_parse(text, &guard);
  return nlohmann::json::parse(text);
}

std::string shown(const nlohmann::json& value) {
  return cut(value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace));
}

void throw_parse_error(size_t position, const nlohmann::json::exception& e) {
  std::string reason = cut(e.what());
  // It may quote the text, whatever bytes that is made of.
  std::ranges::replace_if(
      reason, [](char c) { return c < ' ' || c > '~'; }, '?');
  throw Error(ErrorKind::corrupt_data,
              fmt::format("no valid JSON at byte {}: {}", position, reason), kHint);
}

}  // namespace veloz::checkpoint
