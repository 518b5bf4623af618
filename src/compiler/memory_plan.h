// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "engine/plan.h"

namespace veloz::compiler {

/// Gives every ArenaSlot of the program an offset such that two values overlap only if they are
/// never alive at once, sizes taken at `binding`, and sets arena_bytes. A value lives from the step
/// that writes it to the last step that reads it or a view of it; program outputs live to the end.
/// Larger values are placed first, each at the lowest free offset. Returns what the arena would
/// take without sharing.
int64_t assign_arena(engine::Program& program, const ops::Binding& binding);

}  // namespace veloz::compiler
