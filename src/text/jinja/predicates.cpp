// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "text/jinja/arguments.h"
#include "text/jinja/builtins.h"
#include "text/jinja/operators.h"

namespace veloz::text::jinja {
namespace {

using Check = bool (*)(const Value&);

/// A test without arguments.
template <Check kCheck>
bool plain(Interpreter&, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("the test", arguments, {});
  return kCheck(input);
}

bool is_defined(const Value& value) { return !value.is_undefined(); }
bool is_undefined(const Value& value) { return value.is_undefined(); }
bool is_none(const Value& value) { return value.is_none(); }
bool is_boolean(const Value& value) { return value.kind() == Kind::boolean; }
bool is_the_true(const Value& value) { return is_boolean(value) && value.as_boolean(); }
bool is_the_false(const Value& value) { return is_boolean(value) && !value.as_boolean(); }
bool is_integer(const Value& value) { return value.kind() == Kind::integer; }
bool is_float(const Value& value) { return value.kind() == Kind::real; }
bool is_number(const Value& value) { return value.is_number(); }
bool is_string(const Value& value) { return value.is_string(); }
bool is_mapping(const Value& value) { return value.is_dict(); }
bool is_iterable(const Value& value) {
  return value.is_undefined() || value.is_string() || value.is_sequence() || value.is_dict();
}
bool is_sequence(const Value& value) {
  if (value.is_sequence()) return value.sequence_kind() <= SequenceKind::range;
  return value.is_string() || value.is_dict() || value.is_undefined();
}
bool is_callable(const Value& value) {
  // Undefined defines __call__, to fail when it is called.
  return value.is_undefined() || (value.is_object() && value.as_object().is_callable());
}
bool is_escaped(const Value&) { return false; }

int64_t remainder(const Value& left, const Value& right, Meter& meter, bool& is_zero) {
  const Value result = arithmetic(BinaryOp::mod, left, right, meter);
  is_zero = result.is_number() && result.as_real() == 0.0;
  return result.is_integral() ? result.as_integer() : 0;
}

bool is_odd(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("odd", arguments, {});
  bool is_zero = false;
  return remainder(input, Value::integer(2), interpreter.meter(), is_zero) == 1;
}

bool is_even(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("even", arguments, {});
  bool is_zero = false;
  remainder(input, Value::integer(2), interpreter.meter(), is_zero);
  return is_zero;
}

bool is_divisible_by(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("divisibleby", arguments, {"num"}, 1);
  bool is_zero = false;
  remainder(input, *bound[0], interpreter.meter(), is_zero);
  return is_zero;
}

template <CompareOp kOp>
bool compares(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("a comparison", arguments, {"other"}, 1);
  return compare(kOp, input, *bound[0], interpreter.meter());
}

bool is_same_as(Interpreter&, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("sameas", arguments, {"other"}, 1);
  return input.is_same(*bound[0]);
}

template <const char* kMethod>
bool by_method(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  const BoundArguments bound(kMethod, arguments, {});
  const Value text = Value::string(to_text(input, interpreter.meter()), &interpreter.meter());
  return is_true(interpreter.call(interpreter.get_attribute(text, kMethod), {}));
}
constexpr char kIsLower[] = "islower";
constexpr char kIsUpper[] = "isupper";

bool names_filter(Interpreter&, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("filter", arguments, {});
  return input.is_string() && find_filter(input.as_string()) != nullptr;
}

bool names_test(Interpreter&, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("test", arguments, {});
  return input.is_string() && find_test(input.as_string()) != nullptr;
}

constexpr std::pair<std::string_view, TestFunction> kTests[] = {
    {"!=", compares<CompareOp::ne>},
    {"<", compares<CompareOp::lt>},
    {"<=", compares<CompareOp::le>},
    {"==", compares<CompareOp::eq>},
    {">", compares<CompareOp::gt>},
    {">=", compares<CompareOp::ge>},
    {"boolean", plain<is_boolean>},
    {"callable", plain<is_callable>},
    {"defined", plain<is_defined>},
    {"divisibleby", is_divisible_by},
    {"eq", compares<CompareOp::eq>},
    {"equalto", compares<CompareOp::eq>},
    {"escaped", plain<is_escaped>},
    {"even", is_even},
    {"false", plain<is_the_false>},
    {"filter", names_filter},
    {"float", plain<is_float>},
    {"ge", compares<CompareOp::ge>},
    {"greaterthan", compares<CompareOp::gt>},
    {"gt", compares<CompareOp::gt>},
    {"in", compares<CompareOp::in>},
    {"integer", plain<is_integer>},
    {"iterable", plain<is_iterable>},
    {"le", compares<CompareOp::le>},
    {"lessthan", compares<CompareOp::lt>},
    {"lower", by_method<kIsLower>},
    {"lt", compares<CompareOp::lt>},
    {"mapping", plain<is_mapping>},
    {"ne", compares<CompareOp::ne>},
    {"none", plain<is_none>},
    {"number", plain<is_number>},
    {"odd", is_odd},
    {"sameas", is_same_as},
    {"sequence", plain<is_sequence>},
    {"string", plain<is_string>},
    {"test", names_test},
    {"true", plain<is_the_true>},
    {"undefined", plain<is_undefined>},
    {"upper", by_method<kIsUpper>},
};

}  // namespace

TestFunction find_test(std::string_view name) { return find_in_table<TestFunction>(kTests, name); }

}  // namespace veloz::text::jinja
