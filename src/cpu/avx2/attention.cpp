// SPDX-License-Identifier: Apache-2.0
#include "cpu/avx2/kv_codes.h"
#include "cpu/avx2/lanes.h"

#include "cpu/attention_loop.h"

namespace veloz::cpu {

constexpr AttentionMicro kAttentionAvx2Fp32 =
    make_attention_micro(kGemmAvx2Fp32, kGemmAvx2Fp32, kGemmAvx2Int16ByInt8);
constexpr AttentionMicro kAttentionAvx2Bf16 =
    make_attention_micro(kGemmAvx2Bf16, kGemmAvx2Fp32ByBf16, kGemmAvx2Int16ByInt8);
constexpr AttentionMicro kAttentionAvx2Fp32ByBf16 =
    make_attention_micro(kGemmAvx2Fp32ByBf16, kGemmAvx2Fp32ByBf16, kGemmAvx2Int16ByInt8);

}  // namespace veloz::cpu
