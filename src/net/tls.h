// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>

#include "net/server.h"

namespace veloz::net {

/// TLS 1.2 and 1.3. Throws Error(invalid_input) for files that cannot be read or do not fit
/// together.
std::shared_ptr<boost::asio::ssl::context> make_server_tls(const TlsFiles& files);

/// Verifies servers against the system's certificates, or against `ca_file`.
std::shared_ptr<boost::asio::ssl::context> make_client_tls(const std::filesystem::path& ca_file,
                                                           bool is_verified);

}  // namespace veloz::net
