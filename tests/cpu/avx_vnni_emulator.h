// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace veloz::test {

/// From now on this process does vpdpbusd of AVX-VNNI itself where the processor takes it for an
/// illegal instruction: on 256-bit registers, without operands in memory, as our kernels have it.
/// False where it cannot: the processor lacks AVX2.
bool emulate_avx_vnni();

}  // namespace veloz::test
