// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "grammar/budget.h"
#include "grammar/code_points.h"
#include "grammar/pattern_reader.h"

namespace veloz::grammar {

/// What `.` does not match.
CodePointSet line_terminators();

enum class EscapePlace { outside_class, inside_class };

/// What an escape stands for: a character, or a class such as \d. The reader is at the backslash.
CodePointSet parse_escape(PatternReader& reader, EscapePlace place);

/// A class such as [^a-z\d]. The reader is at the bracket.
CodePointSet parse_class(PatternReader& reader, Budget& budget);

}  // namespace veloz::grammar
