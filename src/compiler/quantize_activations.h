// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "checkpoint/quantization.h"

namespace veloz::compiler {

/// Gives int8 activations, with a scale for each token, to the linears whose weights alone are
/// quantized, as far as integer products serve them: weights of 4 bits with a scale per row or per
/// 32 columns and more, and int8 with a scale per row and no zeros. The others stay. Throws
/// Error(invalid_input) where that is every one.
void quantize_activations(checkpoint::QuantPlan& plan);

}  // namespace veloz::compiler
