// SPDX-License-Identifier: Apache-2.0
#include "cpu/portable/kv_codes.h"
#include "cpu/portable/lanes.h"

#include "cpu/attention_loop.h"

namespace veloz::cpu {

constexpr AttentionMicro kAttentionPortableFp32 =
    make_attention_micro(kGemmPortableFp32, kGemmPortableFp32, kGemmPortableInt16ByInt8);
constexpr AttentionMicro kAttentionPortableBf16 =
    make_attention_micro(kGemmPortableBf16, kGemmPortableFp32ByBf16, kGemmPortableInt16ByInt8);
constexpr AttentionMicro kAttentionPortableFp32ByBf16 = make_attention_micro(
    kGemmPortableFp32ByBf16, kGemmPortableFp32ByBf16, kGemmPortableInt16ByInt8);

}  // namespace veloz::cpu
