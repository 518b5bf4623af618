// SPDX-License-Identifier: Apache-2.0
#include "cpu/kernels.h"

#include <utility>

namespace veloz::cpu {

ops::KernelRegistry make_registry(Isa) {
  return ops::KernelRegistry(ops::reference_kernels(), ops::plain_layouts());
}

}  // namespace veloz::cpu
