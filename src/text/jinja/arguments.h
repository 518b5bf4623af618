// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/value.h"

namespace veloz::text::jinja {

/// The arguments of a built-in, sorted into its parameters as Python would: by place, then by name.
class BoundArguments {
 public:
  /// Throws Error(invalid_input) for too many arguments, an unknown name, or fewer than `required`.
  BoundArguments(std::string_view function, const Arguments& arguments,
                 std::initializer_list<const char*> parameters, size_t required = 0);

  /// It points into `arguments`, which must outlive it.
  BoundArguments(std::string_view function, Arguments&& arguments,
                 std::initializer_list<const char*> parameters, size_t required = 0) = delete;

  /// Null where it was not given.
  const Value* operator[](size_t index) const { return values_[index]; }
  bool has(size_t index) const { return values_[index] != nullptr; }
  bool is_none(size_t index) const { return !has(index) || values_[index]->is_none(); }

  // The argument, or the default where it was not given; throw where it has another type.
  int64_t integer(size_t index, int64_t default_value) const;
  bool boolean(size_t index, bool default_value) const;
  std::string_view string(size_t index, std::string_view default_value) const;

 private:
  [[noreturn]] void fail_type(size_t index, std::string_view wanted) const;

  std::string function_;
  std::vector<const Value*> values_;
};

}  // namespace veloz::text::jinja
