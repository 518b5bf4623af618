// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/dtype.h"
#include "cpu/scale_type.h"

namespace veloz::cpu {

/// Of a dtype that scales may have.
inline ScaleType scale_type_of(DType dtype) {
  if (dtype == DType::fp32) return ScaleType::fp32;
  return dtype == DType::bf16 ? ScaleType::bf16 : ScaleType::fp16;
}

}  // namespace veloz::cpu
