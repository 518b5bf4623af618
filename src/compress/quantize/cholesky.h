// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/thread_pool.h"
#include "compress/quantize/matrix.h"

namespace veloz::compress {

/// The upper triangular V with V^T V = (H + damping * mean(diag H) * I)^-1: row i of V says how the
/// error of coordinate i is best spread over those behind it (arXiv:2210.17323, section 3.3).
///
/// h  [K, K] symmetric, positive semidefinite; zeros on its diagonal count as 1. Consumed.
/// Works in fp64 and in blocks; an element does not depend on the number of threads. Where H is so
/// far from positive definite that a pivot vanishes, damping is raised tenfold until it is not.
/// With H = R R^T for an upper triangular R, V is R^-1: one factorization and one inverse.
Matrix inverse_factor(Matrix h, double damping, ThreadPool& pool);

}  // namespace veloz::compress
