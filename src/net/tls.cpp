// SPDX-License-Identifier: Apache-2.0
#include "net/tls.h"

#include <fmt/format.h>

#include "base/error.h"

namespace veloz::net {
namespace {

namespace ssl = boost::asio::ssl;

void require(const boost::system::error_code& error, std::string_view what,
             const std::filesystem::path& path, std::string_view hint) {
  if (error)
    throw Error(ErrorKind::invalid_input,
                fmt::format("{} \"{}\" cannot be used: {}", what, path.string(), error.message()),
                std::string(hint));
}

}  // namespace

std::shared_ptr<ssl::context> make_server_tls(const TlsFiles& files) {
  auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  context->set_options(ssl::context::default_workarounds | ssl::context::no_sslv2 |
                       ssl::context::no_sslv3 | ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1 |
                       SSL_OP_NO_RENEGOTIATION);
  boost::system::error_code error;
  context->use_certificate_chain_file(files.certificate_chain.string(), error);
  require(error, "the certificate", files.certificate_chain,
          "it must be a PEM file, the server's own certificate first");
  context->use_private_key_file(files.private_key.string(), ssl::context::pem, error);
  require(error, "the private key", files.private_key,
          "it must be a PEM file without passphrase that belongs to the certificate");
  return context;
}

std::shared_ptr<ssl::context> make_client_tls(const std::filesystem::path& ca_file,
                                              bool is_verified) {
  auto context = std::make_shared<ssl::context>(ssl::context::tls_client);
  boost::system::error_code error;
  if (!is_verified) {
    context->set_verify_mode(ssl::verify_none);
    return context;
  }
  context->set_verify_mode(ssl::verify_peer);
  if (ca_file.empty()) {
    context->set_default_verify_paths(error);
  } else {
    context->load_verify_file(ca_file.string(), error);
    require(error, "the certificate file", ca_file, "it must be a PEM file of certificates");
  }
  return context;
}

}  // namespace veloz::net
