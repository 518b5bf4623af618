// SPDX-License-Identifier: Apache-2.0
#include "base/device.h"

namespace veloz {

std::string_view to_string(DeviceKind kind) {
  switch (kind) {
    case DeviceKind::cpu:
      return "cpu";
    case DeviceKind::cuda:
      return "cuda";
  }
  return "unknown";
}

}  // namespace veloz
