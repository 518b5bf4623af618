// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "text/jinja/meter.h"

namespace veloz::text::jinja {

class Object;
struct StringData;
struct SequenceData;
struct DictData;

enum class Kind { undefined, none, boolean, integer, real, string, sequence, dict, object };

/// The Python types that a sequence can be told apart as. A generator can be walked once.
enum class SequenceKind { list, tuple, range, dict_keys, dict_values, dict_items, generator };

/// A value of the template language, with the meaning Python gives it. Cheap to copy; strings,
/// sequences and dicts are immutable and shared, so values form no cycles.
class Value {
 public:
  using Items = std::vector<Value>;
  using Pairs = std::vector<std::pair<Value, Value>>;

  Value() = default;  // none
  /// A missing name, attribute or item; `why` is the message of the error if it is used.
  static Value undefined(std::string why);
  static Value boolean(bool value);
  static Value integer(int64_t value);
  static Value real(double value);
  /// `text` is UTF-8. What is made while rendering is charged to `meter`.
  static Value string(std::string text, Meter* meter = nullptr);
  static Value list(Items items, Meter* meter = nullptr);
  static Value sequence(SequenceKind kind, Items items, Meter* meter = nullptr);
  /// Keeps the order; a repeated key keeps its place and takes the last value.
  static Value dict(Pairs pairs, Meter* meter = nullptr);
  static Value object(std::shared_ptr<Object> object);

  Kind kind() const { return static_cast<Kind>(data_.index()); }
  bool is_undefined() const { return kind() == Kind::undefined; }
  bool is_none() const { return kind() == Kind::none; }
  bool is_string() const { return kind() == Kind::string; }
  bool is_sequence() const { return kind() == Kind::sequence; }
  bool is_dict() const { return kind() == Kind::dict; }
  bool is_object() const { return kind() == Kind::object; }
  /// bool, int or float.
  bool is_number() const;
  /// bool or int.
  bool is_integral() const;

  bool as_boolean() const;
  /// Of an int or a bool.
  int64_t as_integer() const;
  /// Of any number.
  double as_real() const;
  std::string_view as_string() const;
  SequenceKind sequence_kind() const;
  /// The items of a sequence; of a generator, those not yet taken.
  const Items& items() const;
  const Pairs& pairs() const;
  Object& as_object() const;
  const std::string& undefined_message() const;

  /// Of a dict: the value at a key, or null. Charges its search to `meter`, if given.
  const Value* find(const Value& key, Meter* meter = nullptr) const;
  const Value* find(std::string_view key) const;
  /// Marks a generator as walked to its end.
  void exhaust() const;
  /// Nested sequences and dicts, itself included; 0 for a scalar.
  int depth() const;
  /// True where both share one object, Python's `is`.
  bool is_same(const Value& other) const;

 private:
  using UndefinedRef = std::shared_ptr<const std::string>;
  using StringRef = std::shared_ptr<const StringData>;
  using SequenceRef = std::shared_ptr<SequenceData>;
  using DictRef = std::shared_ptr<const DictData>;
  struct None {};
  // In the order of Kind.
  using Data = std::variant<UndefinedRef, None, bool, int64_t, double, StringRef, SequenceRef,
                            DictRef, std::shared_ptr<Object>>;
  explicit Value(Data data) : data_(std::move(data)) {}

  Data data_ = None{};
};

/// Positional and keyword arguments of a call, a filter or a test.
struct Arguments {
  std::vector<Value> positional = {};
  std::vector<std::pair<std::string, Value>> keyword = {};
};

class Interpreter;

/// What only exists while rendering: namespaces, macros, the loop variable, bound methods.
/// May be mutable; one that could reach itself is owned by the interpreter, not by its values.
class Object {
 public:
  virtual ~Object() = default;
  /// As Python names the type, for messages.
  virtual std::string_view type_name() const = 0;
  /// Nothing where there is no such attribute.
  virtual std::optional<Value> attribute(Interpreter& interpreter, std::string_view name);
  /// Throws Error(invalid_input) unless it is callable.
  virtual Value call(Interpreter& interpreter, Arguments arguments);
  virtual bool is_callable() const { return false; }
  /// Nesting of the values it owns and that are freed with it.
  virtual int depth() const { return 0; }
  /// Sets an attribute; false where that is not possible, as on all but a namespace.
  virtual bool set_attribute(Interpreter& interpreter, const std::string& name, Value value);
};

}  // namespace veloz::text::jinja
