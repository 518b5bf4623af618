// SPDX-License-Identifier: Apache-2.0
#include "cpu/avx512/kv_codes.h"
#include "cpu/avx512/lanes.h"

#include "cpu/attention_loop.h"

namespace veloz::cpu {

constexpr AttentionMicro kAttentionAvx512Fp32 =
    make_attention_micro(kGemmAvx512Fp32, kGemmAvx512Fp32, kGemmAvx512Int16ByInt8);
constexpr AttentionMicro kAttentionAvx512Bf16 =
    make_attention_micro(kGemmAvx512Bf16, kGemmAvx512Fp32ByBf16, kGemmAvx512Int16ByInt8);
constexpr AttentionMicro kAttentionAvx512VnniBf16 =
    make_attention_micro(kGemmAvx512Bf16, kGemmAvx512Fp32ByBf16, kGemmAvx512DotInt16ByInt8);
constexpr AttentionMicro kAttentionAvx512DotBf16 =
    make_attention_micro(kGemmAvx512DotBf16, kGemmAvx512Fp32ByBf16, kGemmAvx512DotInt16ByInt8);
constexpr AttentionMicro kAttentionAvx512Fp32ByBf16 =
    make_attention_micro(kGemmAvx512Fp32ByBf16, kGemmAvx512Fp32ByBf16, kGemmAvx512Int16ByInt8);

}  // namespace veloz::cpu
