// SPDX-License-Identifier: Apache-2.0
#include "cuda/kernels.h"

#include <utility>
#include <vector>

#include "cuda/cublaslt/linear.h"
#include "cuda/rows.h"

namespace veloz::cuda {
namespace {

using ops::Kernel;
using ops::KernelQuery;
using ops::Op;

/// What runs a kernel: nothing in a program built without CUDA.
#if defined(VELOZ_HAS_CUDA)
#define VELOZ_FRONT(front) front
#else
#define VELOZ_FRONT(front) nullptr
#endif

bool accepts_any(const KernelQuery&) { return true; }

// Best first within an op.
constexpr Kernel kKernels[] = {
    {"add/rows", Op::add, accepts_any, VELOZ_FRONT((ops::run_typed<ops::AddArgs, add>))},
};

// Before the others where a row may depend on its batch.
constexpr Kernel kNondeterministicKernels[] = {
    {"linear/cublaslt", Op::linear, cublaslt::accepts,
     VELOZ_FRONT((ops::run_typed<ops::LinearArgs, cublaslt::linear>))},
    {"quantized_linear/cublaslt", Op::quantized_linear, cublaslt::accepts,
     VELOZ_FRONT((ops::run_typed<ops::QuantizedLinearArgs, cublaslt::quantized_linear>))},
};

}  // namespace

ops::KernelRegistry make_registry(const RegistryOptions& options) {
  std::vector<Kernel> kernels;
  if (options.allow_nondeterminism)
    kernels.assign(std::begin(kNondeterministicKernels), std::end(kNondeterministicKernels));
  kernels.insert(kernels.end(), std::begin(kKernels), std::end(kKernels));
  return {std::move(kernels), ops::plain_layouts()};
}

}  // namespace veloz::cuda
