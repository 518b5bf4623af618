// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/value.h"

namespace veloz::text::jinja {

/// The variables of a loop pass, a macro call, a block, or the template. Names point into the
/// template or the input, which outlive the rendering.
class Scope {
 public:
  Scope(std::shared_ptr<Scope> parent, Meter& meter)
      : meter_(meter), charge_(&meter, sizeof(Scope)), parent_(std::move(parent)) {}

  void set(std::string_view name, Value value) {
    if (Value* known = find_here(name)) {
      *known = std::move(value);
      return;
    }
    charge_.grow(sizeof variables_.front());
    variables_.emplace_back(name, std::move(value));
  }
  /// Here or in a scope around it; null where there is none.
  const Value* find(std::string_view name) {
    for (Scope* scope = this; scope != nullptr; scope = scope->parent_.get())
      if (const Value* value = scope->find_here(name)) return value;
    return nullptr;
  }

 private:
  Value* find_here(std::string_view name) {
    meter_.step(1 + static_cast<int64_t>(variables_.size() / 8));
    for (auto& [known, value] : variables_)
      if (known == name) return &value;
    return nullptr;
  }

  Meter& meter_;
  Charge charge_;
  std::shared_ptr<Scope> parent_;
  std::vector<std::pair<std::string_view, Value>> variables_;
};

using ScopePtr = std::shared_ptr<Scope>;

}  // namespace veloz::text::jinja
