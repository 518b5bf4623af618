// SPDX-License-Identifier: Apache-2.0
#include "cpu/read_loop.h"

namespace veloz::cpu {

uint64_t read_all_portable(const std::byte* memory, size_t bytes) {
  return read_all(memory, bytes);
}

}  // namespace veloz::cpu
