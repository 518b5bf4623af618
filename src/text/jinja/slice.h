// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "text/jinja/value.h"

namespace veloz::text::jinja {

/// `object[start:stop:step]` with Python's rules; a bound that is none is absent. Strings are cut
/// by character. Throws Error(invalid_input) for an object that cannot be sliced.
Value slice(const Value& object, const Value& start, const Value& stop, const Value& step,
            Meter& meter);

}  // namespace veloz::text::jinja
