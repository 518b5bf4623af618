// SPDX-License-Identifier: Apache-2.0
#include "net/client.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "net/test_server.h"

namespace veloz::net {
namespace {

std::string url_of(const Server& server, std::string_view target) {
  return fmt::format("http://127.0.0.1:{}{}", server.port(), target);
}

TEST(Client, SendsARequestAndReadsTheAnswer) {
  Server server(test_options([](auto exchange) {
    exchange->respond({.status = 418,
                       .body = exchange->request().body,
                       .headers = {{"x-seen", std::string(*exchange->request().header("x-a"))}}});
  }));
  Client client;
  const ClientResponse response = fetch(
      client,
      {.method = "POST", .url = url_of(server, "/x"), .headers = {{"X-A", "1"}}, .body = "hello"});
  EXPECT_EQ(response.head.status, 418);
  EXPECT_EQ(response.head.header("X-Seen"), "1");
  EXPECT_EQ(response.body, "hello");
}

TEST(Client, HandsOnAStreamPieceByPiece) {
  Mailbox<std::shared_ptr<Exchange>> exchanges;
  Server server(test_options([&](auto exchange) { exchanges.put(exchange); }));
  Mailbox<std::string> pieces;
  Mailbox<bool> ends;
  Client client;
  client.send({.url = url_of(server, "/")},
              {.on_data = [&](std::string_view data) { pieces.put(std::string(data)); },
               .on_done = [&](const std::optional<Error>& error) { ends.put(!error); }});
  const auto exchange = exchanges.take();
  ASSERT_TRUE(exchange);
  (*exchange)->start_stream({});
  for (const std::string piece : {"one", "two"}) {
    (*exchange)->write(piece);
    EXPECT_EQ(pieces.take(), piece);
  }
  (*exchange)->finish();
  EXPECT_EQ(ends.take(), true);
}

TEST(Client, ReusesItsConnection) {
  Server server(test_options(echo));
  Client client;
  for (int i = 0; i < 5; ++i)
    EXPECT_EQ(fetch(client, {.url = url_of(server, fmt::format("/{}", i))}).body,
              fmt::format("GET /{}?|", i));
  EXPECT_EQ(server.stats().num_connections, 1);
}

TEST(Client, SendsOnceMoreWhereAKeptConnectionWasClosed) {
  ServerOptions options = test_options(echo);
  options.timeouts.idle = std::chrono::milliseconds(250);
  Server server(std::move(options));
  Client client;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(fetch(client, {.url = url_of(server, "/")}).head.status, 200);
    while (server.stats().num_connections > 0) std::this_thread::yield();
  }
}

TEST(Client, RefusesABodyThatIsCutShort) {
  Server server(test_options([](auto exchange) {
    exchange->start_stream({});
    exchange->write("half");
  }));
  Client client;
  try {
    fetch(client, {.url = url_of(server, "/")});
    FAIL() << "a chunked body without its end is whole";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::io);
    EXPECT_NE(e.message().find("ended before the answer did"), std::string::npos) << e.message();
  }
}

TEST(Client, SaysWhereItCannotConnect) {
  uint16_t free_port = 0;
  {
    Server server(test_options(echo));
    free_port = server.port();
  }
  Client client;
  try {
    fetch(client, {.url = fmt::format("http://127.0.0.1:{}/", free_port)});
    FAIL() << "nobody listens there";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::io);
    EXPECT_EQ(e.message(),
              fmt::format("connecting to 127.0.0.1:{}: Connection refused", free_port));
  }
}

TEST(Client, CancelsARequestSoThatTheServerHearsOfIt) {
  Mailbox<bool> aborts;
  Mailbox<std::shared_ptr<Exchange>> exchanges;
  Server server(test_options([&](auto exchange) {
    exchange->on_abort([&] { aborts.put(true); });
    exchanges.put(exchange);
  }));
  Client client;
  Mailbox<ErrorKind> ends;
  const ClientRequestId id = client.send(
      {.url = url_of(server, "/")},
      {.on_done = [&](const std::optional<Error>& error) { ends.put(error.value().kind()); }});
  const auto exchange = exchanges.take();
  client.cancel(id);
  EXPECT_EQ(ends.take(), ErrorKind::cancelled);
  EXPECT_TRUE(aborts.take());
}

TEST(Client, EndsEveryRequestWhenItIsDestroyed) {
  Server server(test_options([](auto exchange) {
    exchange->on_abort([exchange] {});  // holds itself until the client goes away
  }));
  std::atomic<int> num_cancelled = 0;
  {
    Client client;
    for (int i = 0; i < 20; ++i)
      client.send({.url = url_of(server, "/")}, {.on_done = [&](const std::optional<Error>& error) {
                    if (error && error->kind() == ErrorKind::cancelled) ++num_cancelled;
                  }});
  }
  EXPECT_EQ(num_cancelled, 20);
}

TEST(Client, GivesUpWhereNothingComes) {
  Server server(test_options([](auto exchange) { exchange->on_abort([exchange] {}); }));
  Client client({.read_timeout = std::chrono::milliseconds(30)});
  try {
    fetch(client, {.url = url_of(server, "/")});
    FAIL() << "no answer was given";
  } catch (const Error& e) {
    EXPECT_NE(e.message().find("sent nothing for 0.03 s"), std::string::npos) << e.message();
  }
}

TEST(Client, RunsTasksAtTheirTime) {
  Client client;
  Mailbox<int> order;
  const auto now = std::chrono::steady_clock::now();
  client.run_at(now, [&] {  // both are set before one can run
    client.run_at(now + std::chrono::milliseconds(20), [&] { order.put(2); });
    client.run_at(now + std::chrono::milliseconds(5), [&] { order.put(1); });
  });
  EXPECT_EQ(order.take(), 1);
  EXPECT_EQ(order.take(), 2);
}

TEST(Client, EndsThoughADeadlineSweepIsDueWhileItIsDestroyed) {
  // A task outlasts the sweep's tick, so that the sweep is ready to run when its timer is
  // cancelled.
  auto client = std::make_unique<Client>();
  Mailbox<bool> begun;
  client->run_at(std::chrono::steady_clock::now(), [&] {
    begun.put(true);
    std::this_thread::sleep_for(std::chrono::milliseconds(120));
  });
  begun.take();
  client.reset();
}

TEST(Client, CarriesHundredsOfStreamsAtOnce) {
  constexpr int kNumStreams = 300;
  std::atomic<int> num_waiting = 0;
  Mailbox<std::shared_ptr<Exchange>> exchanges;
  Server server(test_options([&](auto exchange) {
    exchange->start_stream({});
    exchanges.put(exchange);
    ++num_waiting;
  }));
  Client client;
  Mailbox<std::string> bodies;
  for (int i = 0; i < kNumStreams; ++i) {
    auto body = std::make_shared<std::string>();
    client.send({.url = url_of(server, "/")},
                {.on_data = [body](std::string_view data) { *body += data; },
                 .on_done =
                     [&, body](const std::optional<Error>& error) {
                       bodies.put(error ? error->message() : *body);
                     }});
  }
  while (num_waiting < kNumStreams) std::this_thread::yield();  // all are open at the same time
  for (int i = 0; i < kNumStreams; ++i) {
    const auto exchange = exchanges.take();
    for (const char* piece : {"a", "b", "c"}) (*exchange)->write(piece);
    (*exchange)->finish();
  }
  for (int i = 0; i < kNumStreams; ++i) EXPECT_EQ(bodies.take(), "abc");
}

}  // namespace
}  // namespace veloz::net
