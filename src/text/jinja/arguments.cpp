// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/arguments.h"

#include <fmt/format.h>

#include <algorithm>

#include "text/jinja/operators.h"

namespace veloz::text::jinja {

BoundArguments::BoundArguments(std::string_view function, const Arguments& arguments,
                               std::initializer_list<const char*> parameters, size_t required)
    : function_(function), values_(parameters.size(), nullptr) {
  if (arguments.positional.size() > values_.size())
    throw_type_error(fmt::format("{} takes at most {} argument(s), got {}", function_,
                                 values_.size(), arguments.positional.size()));
  for (size_t i = 0; i < arguments.positional.size(); ++i) values_[i] = &arguments.positional[i];
  for (const auto& [name, value] : arguments.keyword) {
    const auto* at = std::find(parameters.begin(), parameters.end(), name);
    if (at == parameters.end())
      throw_type_error(fmt::format("{} takes no argument '{}'", function_, name));
    const Value*& slot = values_[static_cast<size_t>(at - parameters.begin())];
    if (slot != nullptr)
      throw_type_error(fmt::format("{} got several values for '{}'", function_, name));
    slot = &value;
  }
  for (size_t i = 0; i < required; ++i)
    if (values_[i] == nullptr)
      throw_type_error(
          fmt::format("{} misses its argument '{}'", function_, std::data(parameters)[i]));
}

void BoundArguments::fail_type(size_t index, std::string_view wanted) const {
  require_defined(*values_[index]);
  throw_type_error(fmt::format("argument {} of {} is a '{}', not {}", index + 1, function_,
                               type_name(*values_[index]), wanted));
}

int64_t BoundArguments::integer(size_t index, int64_t default_value) const {
  if (!has(index)) return default_value;
  if (!values_[index]->is_integral()) fail_type(index, "an integer");
  return values_[index]->as_integer();
}

bool BoundArguments::boolean(size_t index, bool default_value) const {
  return has(index) ? is_true(*values_[index]) : default_value;
}

std::string_view BoundArguments::string(size_t index, std::string_view default_value) const {
  if (!has(index)) return default_value;
  if (!values_[index]->is_string()) fail_type(index, "a string");
  return values_[index]->as_string();
}

}  // namespace veloz::text::jinja
