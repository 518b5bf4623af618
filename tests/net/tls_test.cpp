// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "net/client.h"
#include "net/raw_client.h"
#include "net/self_signed.h"
#include "net/server.h"
#include "net/test_server.h"

namespace veloz::net {
namespace {

class Tls : public testing::Test {
 protected:
  void SetUp() override {
    directory_ =
        std::filesystem::path(testing::TempDir()) /
        fmt::format("veloz_tls_{}", testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::create_directories(directory_);
    files_ = make_self_signed(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  ServerOptions options(Handler handler) const {
    ServerOptions options = test_options(std::move(handler));
    options.tls = files_;
    return options;
  }
  ClientOptions trusting() const { return {.ca_file = files_.certificate_chain}; }

  std::filesystem::path directory_;
  TlsFiles files_;
};

std::string url_of(const Server& server, const char* host = "127.0.0.1") {
  return fmt::format("https://{}:{}/a", host, server.port());
}

TEST_F(Tls, CarriesRequestsOverOneConnection) {
  Server server(options(echo));
  Client client(trusting());
  const std::string body(300'000, 'b');
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(fetch(client, {.method = "POST", .url = url_of(server), .body = body}).body,
              "POST /a?|" + body);
  EXPECT_EQ(server.stats().num_connections, 1);
}

TEST_F(Tls, CarriesStreams) {
  Server server(options([](auto exchange) {
    exchange->start_stream({});
    for (int i = 0; i < 100; ++i) exchange->write(fmt::format("{} ", i));
    exchange->finish();
  }));
  Client client(trusting());
  const ClientResponse response = fetch(client, {.url = url_of(server, "localhost")});
  EXPECT_TRUE(response.body.starts_with("0 1 2 ")) << response.body;
  EXPECT_TRUE(response.body.ends_with("98 99 "));
}

TEST_F(Tls, EndsAnAnswerToHttp10Properly) {
  Server server(options([](auto exchange) {
    exchange->respond({.body = "x", .headers = {{"Connection", "close"}}});
  }));
  Client client(trusting());
  EXPECT_EQ(fetch(client, {.url = url_of(server), .headers = {{"Connection", "close"}}}).body, "x");
}

TEST_F(Tls, IsNotTrustedByAClientThatDoesNotKnowTheCertificate) {
  Server server(options(echo));
  Client strict;
  EXPECT_THROW(fetch(strict, {.url = url_of(server)}), Error);
  Client careless({.verifies_certificates = false});
  EXPECT_EQ(fetch(careless, {.url = url_of(server)}).head.status, 200);
}

TEST_F(Tls, ClosesAClientThatSpeaksPlainHttp) {
  Server server(options(echo));
  RawClient client(server.port());
  client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_FALSE(client.read_all().starts_with("HTTP"));
}

TEST_F(Tls, ClosesAClientThatNeverShakesHands) {
  ServerOptions impatient = options(echo);
  impatient.timeouts.header = std::chrono::milliseconds(40);
  Server server(std::move(impatient));
  RawClient client(server.port());
  EXPECT_EQ(client.read_all(), "");
}

TEST_F(Tls, HearsOfADisconnect) {
  Mailbox<bool> aborts;
  Server server(options(
      [&](auto exchange) { exchange->on_abort([&aborts, exchange] { aborts.put(true); }); }));
  {
    Client client(trusting());
    client.send({.url = url_of(server)}, {});
    while (server.stats().num_exchanges == 0) std::this_thread::yield();
  }
  EXPECT_EQ(aborts.take(), true);
}

TEST_F(Tls, FilesThatCannotBeUsedAreNamed) {
  files_.private_key = directory_ / "missing.pem";
  try {
    Server server(options(echo));
    FAIL() << "a key that is not there is used";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::invalid_input);
    EXPECT_NE(e.message().find("missing.pem"), std::string::npos) << e.message();
  }
}

TEST_F(Tls, TakesARenewedCertificateAndKeepsTheOldOneWhereTheNewIsBad) {
  Server server(options(echo));
  make_self_signed(directory_);
  server.reload_tls();
  Client client(trusting());
  EXPECT_EQ(fetch(client, {.url = url_of(server)}).head.status, 200);
  std::ofstream(files_.private_key) << "no key";
  EXPECT_THROW(server.reload_tls(), Error);
  Client another(trusting());
  EXPECT_EQ(fetch(another, {.url = url_of(server)}).head.status, 200);
}

}  // namespace
}  // namespace veloz::net
