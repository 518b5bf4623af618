// SPDX-License-Identifier: Apache-2.0
#include "net/self_signed.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <memory>
#include <stdexcept>

namespace veloz::net {
namespace {

constexpr long kHour = 3600;

template <auto kFree>
struct Free {
  void operator()(auto* object) const { kFree(object); }
};

void add_extension(X509& certificate, int id, const char* value) {
  const std::unique_ptr<X509_EXTENSION, Free<X509_EXTENSION_free>> extension(
      X509V3_EXT_conf_nid(nullptr, nullptr, id, value));
  if (!extension || X509_add_ext(&certificate, extension.get(), -1) != 1)
    throw std::runtime_error("no extension");
}

std::unique_ptr<std::FILE, Free<std::fclose>> create(const std::filesystem::path& path) {
  return std::unique_ptr<std::FILE, Free<std::fclose>>(std::fopen(path.c_str(), "w"));
}

}  // namespace

TlsFiles make_self_signed(const std::filesystem::path& directory) {
  const std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>> key(EVP_EC_gen("P-256"));
  const std::unique_ptr<X509, Free<X509_free>> certificate(X509_new());
  X509_set_version(certificate.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -kHour);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), kHour);
  X509_set_pubkey(certificate.get(), key.get());
  X509_NAME* const name = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
  X509_set_issuer_name(certificate.get(), name);
  add_extension(*certificate, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
  add_extension(*certificate, NID_basic_constraints, "critical,CA:TRUE");
  if (X509_sign(certificate.get(), key.get(), EVP_sha256()) == 0)
    throw std::runtime_error("the certificate cannot be signed");

  const TlsFiles files{.certificate_chain = directory / "cert.pem",
                       .private_key = directory / "key.pem"};
  PEM_write_X509(create(files.certificate_chain).get(), certificate.get());
  PEM_write_PrivateKey(create(files.private_key).get(), key.get(), nullptr, nullptr, 0, nullptr,
                       nullptr);
  return files;
}

}  // namespace veloz::net
