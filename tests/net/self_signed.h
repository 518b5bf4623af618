// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "net/server.h"

namespace veloz::net {

/// Makes a key and a certificate for "localhost" and 127.0.0.1, signed by itself, in `directory`.
TlsFiles make_self_signed(const std::filesystem::path& directory);

}  // namespace veloz::net
