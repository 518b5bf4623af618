// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cctype>
#include <charconv>
#include <map>
#include <utility>

#include "base/error.h"
#include "graph/graph.h"

namespace veloz::graph {
namespace {

constexpr size_t kMaxTextBytes = size_t{64} << 20;

[[noreturn]] void refuse(const std::string& message) {
  throw Error(ErrorKind::corrupt_data, message);
}

/// Takes tokens off the front of one line.
class Cursor {
 public:
  explicit Cursor(std::string_view line) : rest_(line) {}

  bool at_end() {
    skip_spaces();
    return rest_.empty();
  }
  bool try_take(std::string_view token) {
    skip_spaces();
    if (!rest_.starts_with(token)) return false;
    rest_.remove_prefix(token.size());
    return true;
  }
  void take(std::string_view token) {
    if (!try_take(token))
      refuse(fmt::format("expected \"{}\" at \"{}\"", token, rest_.substr(0, 40)));
  }
  /// Letters, digits, '.', '_' and '-'.
  std::string take_name() {
    skip_spaces();
    size_t length = 0;
    while (length < rest_.size() && is_name_char(rest_[length])) ++length;
    if (length == 0) refuse(fmt::format("expected a name at \"{}\"", rest_.substr(0, 40)));
    std::string name(rest_.substr(0, length));
    rest_.remove_prefix(length);
    return name;
  }
  int64_t take_int() {
    skip_spaces();
    int64_t value = 0;
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    if (error != std::errc{} || value < 0)
      refuse(fmt::format("expected a number at \"{}\"", rest_.substr(0, 40)));
    rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
    return value;
  }
  /// A quoted string with its escapes resolved.
  std::string take_string() {
    take("\"");
    for (size_t i = 0; i < rest_.size(); ++i) {
      if (rest_[i] == '\\') {
        ++i;
      } else if (rest_[i] == '"') {
        const ops::Attrs attrs = ops::parse_attrs(fmt::format("s=\"{}\"", rest_.substr(0, i)));
        rest_.remove_prefix(i + 1);
        return attrs.get_string("s");
      }
    }
    refuse(fmt::format("no closing quote after \"{}\"", rest_.substr(0, 40)));
  }
  /// Up to and without `close`, which is taken too; quoted text is passed over.
  std::string_view take_until(char close) {
    bool is_quoted = false;
    for (size_t i = 0; i < rest_.size(); ++i) {
      if (is_quoted && rest_[i] == '\\') {
        ++i;
      } else if (rest_[i] == '"') {
        is_quoted = !is_quoted;
      } else if (!is_quoted && rest_[i] == close) {
        const std::string_view taken = rest_.substr(0, i);
        rest_.remove_prefix(i + 1);
        return taken;
      }
    }
    refuse(fmt::format("expected '{}' after \"{}\"", close, rest_.substr(0, 40)));
  }
  /// A type: dtype, '[', dims, ']'.
  ops::ValueType take_type() {
    skip_spaces();
    const std::string_view dims_and_name = take_until(']');
    return ops::parse_value_type(fmt::format("{}]", dims_and_name));
  }

 private:
  static bool is_name_char(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '_' || c == '-';
  }
  void skip_spaces() {
    while (!rest_.empty() && rest_.front() == ' ') rest_.remove_prefix(1);
  }
  std::string_view rest_;
};

class Parser {
 public:
  Graph run(std::string_view text) {
    if (text.size() > kMaxTextBytes) refuse(fmt::format("{} bytes of graph text", text.size()));
    int64_t line_number = 0;
    while (!text.empty()) {
      const size_t end = std::min(text.find('\n'), text.size());
      ++line_number;
      try {
        parse_line(Cursor(text.substr(0, end)));
      } catch (Error& e) {
        e.add_context(fmt::format("graph text, line {}", line_number));
        throw;
      }
      text.remove_prefix(std::min(end + 1, text.size()));
    }
    if (!is_closed_) refuse("graph text ends without '}'");
    verify(graph_);
    return std::move(graph_);
  }

 private:
  void parse_line(Cursor line) {
    if (line.at_end()) return;
    if (is_closed_) refuse("text after the closing '}'");
    if (!is_open_) {
      line.take("graph ");
      graph_ = Graph(line.take_name());
      line.take("{");
      is_open_ = true;
    } else if (line.try_take("}")) {
      is_closed_ = true;
    } else if (line.try_take("input ")) {
      const std::string name = take_new_name(line, '%');
      line.take(":");
      remember('%', name, graph_.add_input(name, line.take_type()));
    } else if (line.try_take("state ")) {
      const std::string name = take_new_name(line, '%');
      line.take(":");
      remember('%', name, graph_.add_state(name, line.take_type()));
    } else if (line.try_take("weight ")) {
      parse_weight(line);
    } else if (line.try_take("return ")) {
      graph_.set_outputs(parse_operands(line, ','));
    } else {
      parse_node(line);
    }
    if (!line.at_end()) refuse("text after the end of the statement");
  }

  void parse_weight(Cursor& line) {
    const std::string name = take_new_name(line, '@');
    line.take(":");
    const ops::ValueType type = line.take_type();
    std::vector<int64_t> dims;
    for (const ops::Dim& dim : type.dims) {
      if (!dim.is_constant()) refuse("a weight has constant extents only");
      dims.push_back(dim.value);
    }
    if (dims.size() > Shape::kMaxRank) refuse(fmt::format("a weight of rank {}", dims.size()));
    line.take("=");
    std::vector<WeightSegment> segments;
    do {
      WeightSegment segment{line.take_string(), 0};
      line.take("[");
      segment.rows = line.take_int();
      line.take("]");
      segments.push_back(std::move(segment));
    } while (line.try_take("+"));
    remember('@', name, graph_.add_weight(name, type.dtype, Shape(dims), std::move(segments)));
  }

  void parse_node(Cursor& line) {
    std::vector<std::string> names;
    do {
      names.push_back(take_new_name(line, '%'));
    } while (line.try_take(","));
    line.take("=");
    const std::string op_name = line.take_name();
    const std::optional<ops::Op> op = ops::try_parse_op(op_name);
    if (!op) refuse(fmt::format("unknown op \"{}\"", op_name));
    line.take("(");
    std::vector<ValueId> inputs;
    if (!line.try_take(")")) {
      inputs = parse_operands(line, ',');
      line.take(")");
    }
    ops::Attrs attrs;
    if (line.try_take("{")) attrs = ops::parse_attrs(line.take_until('}'));
    line.take(":");
    std::vector<ops::ValueType> types;
    do {
      types.push_back(line.take_type());
    } while (line.try_take(","));
    std::vector<ops::ValueType> input_types;
    input_types.reserve(inputs.size());
    for (const ValueId id : inputs) input_types.push_back(graph_.value(id).type);
    if (ops::op_def(*op).infer({input_types, attrs}) != types)
      refuse(fmt::format("\"{}\" gives other types than are written", op_name));
    if (types.size() != names.size())
      refuse(fmt::format("{} names for {} results", names.size(), types.size()));
    const std::vector<ValueId> outputs =
        graph_.add_node(*op, std::move(inputs), std::move(attrs), names);
    for (size_t i = 0; i < names.size(); ++i) remember('%', names[i], outputs[i]);
  }

  std::vector<ValueId> parse_operands(Cursor& line, char separator) {
    std::vector<ValueId> ids;
    do {
      const char sigil = line.try_take("@") ? '@' : '%';
      if (sigil == '%') line.take("%");
      const std::string name = line.take_name();
      const auto found = ids_.find({sigil, name});
      if (found == ids_.end()) refuse(fmt::format("{}{} is not defined before", sigil, name));
      ids.push_back(found->second);
    } while (line.try_take(std::string_view(&separator, 1)));
    return ids;
  }

  std::string take_new_name(Cursor& line, char sigil) {
    line.take(std::string_view(&sigil, 1));
    std::string name = line.take_name();
    if (ids_.contains({sigil, name})) refuse(fmt::format("{}{} is defined twice", sigil, name));
    return name;
  }

  void remember(char sigil, const std::string& name, ValueId id) { ids_[{sigil, name}] = id; }

  Graph graph_;
  std::map<std::pair<char, std::string>, ValueId> ids_;
  bool is_open_ = false;
  bool is_closed_ = false;
};

}  // namespace

Graph parse(std::string_view text) { return Parser().run(text); }

}  // namespace veloz::graph
