// SPDX-License-Identifier: Apache-2.0
// What clients do badly: too slow, too large, too many, gone.
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "net/raw_client.h"
#include "net/server.h"
#include "net/test_server.h"

namespace veloz::net {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

int count_descriptors() {
  int n = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
    ++n;
  return n;
}

void wait_until(const auto& is_true) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  bool was_true = is_true();
  while (!was_true && std::chrono::steady_clock::now() < end) {
    std::this_thread::yield();
    was_true = is_true();
  }
  EXPECT_TRUE(was_true);
}

/// Keeps the exchanges so that they stay unanswered, and counts those aborted.
struct Holder {
  Mailbox<std::shared_ptr<Exchange>> exchanges;
  std::atomic<int> num_aborts = 0;

  Handler handler() {
    return [this](auto exchange) {
      exchange->on_abort([this] { ++num_aborts; });
      exchanges.put(std::move(exchange));
    };
  }
};

TEST(Limits, AHeaderThatComesTooSlowlyIsAnswered408) {
  ServerOptions options = test_options(echo);
  options.timeouts.header = milliseconds(40);
  Server server(std::move(options));
  RawClient client(server.port());
  client.send("GET / HTTP/1.1\r\nHost:");
  EXPECT_EQ(client.read_response()->status, 408);
  client.shut_down_sending();
  EXPECT_EQ(client.read_all(), "");
}

TEST(Limits, ABodyThatComesTooSlowlyIsAnswered408) {
  ServerOptions options = test_options(echo);
  options.timeouts.body = milliseconds(40);
  Server server(std::move(options));
  const auto response =
      ask(server.port(), "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab");
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 408);
  EXPECT_EQ(response->headers.at("connection"), "close");
}

TEST(Limits, AnIdleConnectionIsClosedWithoutAWord) {
  ServerOptions options = test_options(echo);
  options.timeouts.idle = milliseconds(500);
  Server server(std::move(options));
  RawClient fresh(server.port());
  EXPECT_EQ(fresh.read_all(), "");
  RawClient used(server.port());
  used.send(kGet);
  const auto response = used.read_response();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 200);
  EXPECT_EQ(used.read_all(), "");
}

TEST(Limits, ARequestThatIsBeingAnsweredHasNoTimeLimit) {
  Holder holder;
  ServerOptions options = test_options(holder.handler());
  options.timeouts = {.header = milliseconds(250),
                      .body = milliseconds(250),
                      .idle = milliseconds(250),
                      .write = milliseconds(250)};
  Server server(std::move(options));
  RawClient client(server.port());
  client.send(kGet);
  const auto exchange = holder.exchanges.take();
  ASSERT_TRUE(exchange);
  std::this_thread::sleep_for(milliseconds(1000));
  (*exchange)->respond({.body = "late"});
  const auto response = client.read_response();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->body, "late");
}

TEST(Limits, ABodyTooLargeIsAnswered413AlsoWhileItIsBeingSent) {
  ServerOptions options = test_options(echo);
  options.parser.max_body_bytes = 1000;
  Server server(std::move(options));
  RawClient client(server.port());
  client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n");
  client.send(std::string(4'000'000, 'x'));  // more than any socket buffer takes unread
  const auto response = client.read_response();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 413);
}

TEST(Limits, ABodyTooLargeIsRefusedBeforeItIsSent) {
  ServerOptions options = test_options(echo);
  options.parser.max_body_bytes = 1000;
  Server server(std::move(options));
  const auto response =
      ask(server.port(),
          "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1001\r\n\r\n");
  EXPECT_EQ(response->status, 413);
}

TEST(Limits, ARefusalHasTheFormTheServerIsGivenAndEndsTheConnection) {
  ServerOptions options = test_options(echo);
  options.error_response = [](const Request&, int status, std::string_view message) {
    return Response{.status = status, .body = "{" + std::string(message) + "}"};
  };
  Server server(std::move(options));
  RawClient client(server.port());
  client.send("GET / HTTP/1.1\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto response = client.read_response();
  EXPECT_EQ(response->status, 400);
  EXPECT_EQ(response->body, "{the header field \"host\" is missing}");
  EXPECT_EQ(response->headers.at("connection"), "close");
  EXPECT_EQ(response->headers.at("x-request-id").size(), 32u);
  client.shut_down_sending();
  EXPECT_EQ(client.read_all(), "") << "what follows a refused request is not answered";
}

TEST(Limits, ConnectionsOverTheLimitAreAnswered503) {
  Holder holder;
  ServerOptions options = test_options(holder.handler());
  options.max_connections = 2;
  Server server(std::move(options));
  RawClient first(server.port()), second(server.port());
  first.send(kGet);
  second.send(kGet);
  const auto a = holder.exchanges.take(), b = holder.exchanges.take();
  EXPECT_EQ(ask(server.port(), kGet)->status, 503);
  (*a)->respond({.body = "served"});
  (*b)->respond({.body = "served"});
  EXPECT_EQ(first.read_response()->body, "served");
  EXPECT_EQ(second.read_response()->body, "served");
}

std::string post_of(size_t num_body_bytes) {
  return "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(num_body_bytes) +
         "\r\n\r\n" + std::string(num_body_bytes, 'b');
}

TEST(Limits, BodiesOverTheLimitOfAllTogetherAreAnswered503) {
  Holder holder;
  ServerOptions options = test_options(holder.handler());
  options.max_total_body_bytes = 1000;
  Server server(std::move(options));
  RawClient answered(server.port()), read(server.port());
  answered.send(post_of(400));
  auto exchange = holder.exchanges.take();
  read.send(post_of(600).substr(0, post_of(600).size() - 1));
  wait_until([&] { return server.stats().num_body_bytes == 999; });
  const auto response = ask(server.port(), post_of(2));
  EXPECT_EQ(response->status, 503);
  EXPECT_EQ(response->headers.at("connection"), "close");
  EXPECT_EQ(server.stats().num_body_bytes, 999u) << "a refused body is not kept";
  read.send("b");
  const auto last = holder.exchanges.take();
  EXPECT_EQ((*last)->request().body.size(), 600u);
  (*exchange)->respond({});
  EXPECT_EQ(answered.read_response()->status, 200);
  exchange.reset();
  wait_until([&] { return server.stats().num_body_bytes == 600; });
  RawClient late(server.port());
  late.send(post_of(400));
  EXPECT_TRUE(holder.exchanges.take()) << "there is room again";
}

TEST(Limits, TheBodyOfAClientThatGoesAwayIsGivenBack) {
  Server server(test_options(echo));
  RawClient client(server.port());
  client.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
  wait_until([&] { return server.stats().num_body_bytes == 3; });
  client.reset();
  wait_until([&] { return server.stats().num_body_bytes == 0; });
}

TEST(Limits, AClientThatDoesNotReadLosesItsStreamAndItsMemory) {
  ServerOptions options = test_options({});
  options.max_stream_buffer_bytes = 64 * 1024;
  std::atomic<int> num_aborts = 0;
  Mailbox<std::shared_ptr<Exchange>> exchanges;
  options.handler = [&](auto exchange) {
    exchange->on_abort([&] { ++num_aborts; });
    exchanges.put(exchange);
  };
  Server server(std::move(options));
  RawClient client(server.port());
  client.set_receive_buffer(4096);
  client.send(kGet);
  const auto exchange = exchanges.take();
  (*exchange)->start_stream({});
  const std::string piece(8 * 1024, 'x');
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while ((*exchange)->write(piece)) {
    ASSERT_LT(std::chrono::steady_clock::now(), end) << "no limit is felt";
    std::this_thread::sleep_for(microseconds(100));  // the connection's thread sends
  }
  wait_until([&] { return num_aborts == 1; });
  EXPECT_FALSE((*exchange)->write("more"));
  wait_until([&] { return server.stats().num_connections == 0; });
}

TEST(Limits, AThreadThatIsLateIsNotTakenForASlowClient) {
  ServerOptions options = test_options({});
  options.max_stream_buffer_bytes = 1024;
  const std::string piece(1000, 'x');
  const auto write_much = [&](Exchange& exchange) {
    for (int i = 0; i < 50; ++i) EXPECT_TRUE(exchange.write(piece)) << i;
  };
  options.handler = [&](auto exchange) {  // keeps the thread that sends
    exchange->start_stream({});
    write_much(*exchange);
    exchange->post([&, exchange] {  // the first half is with the kernel, but nobody has heard of it
      write_much(*exchange);
      exchange->finish();
    });
  };
  Server server(std::move(options));
  EXPECT_EQ(ask(server.port(), kGet)->body.size(), 100 * piece.size());
}

TEST(Limits, AClientThatStopsReadingTheEndOfAnAnswerIsClosed) {
  Mailbox<bool> answers;
  ServerOptions options = test_options([&](auto exchange) {
    exchange->respond({.body = std::string(32'000'000, 'x')});
    answers.put(true);
  });
  options.timeouts.write = milliseconds(50);
  Server server(std::move(options));
  RawClient client(server.port());
  client.send(kGet);
  ASSERT_TRUE(answers.take());
  wait_until([&] { return server.stats().num_connections == 0; });
}

TEST(Limits, AClientThatTakesAnAnswerInDribletsIsClosed) {
  ServerOptions options = test_options(
      [&](auto exchange) { exchange->respond({.body = std::string(8'000'000, 'x')}); });
  options.timeouts.write = milliseconds(2000);
  Server server(std::move(options));
  RawClient client(server.port(), /*has_small_buffers=*/true);
  client.send(kGet);
  const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (client.receive(700)) {  // at most 70 kB a second, where 256 KiB in two are asked for
    ASSERT_LT(std::chrono::steady_clock::now(), end) << "the answer is still held";
    std::this_thread::sleep_for(milliseconds(10));
  }
  wait_until([&] { return server.stats().num_connections == 0; });
}

TEST(Limits, ClientsThatDoNotReadHoldUpNobody) {
  const std::string much(16'000'000, 'x');  // more than sockets take
  Server server(test_options([&](auto exchange) {
    if (exchange->request().path == "/much") return exchange->respond({.body = much});
    echo(exchange);
  }));
  std::vector<RawClient> slow;
  for (int i = 0; i < 4; ++i) {
    slow.emplace_back(server.port());
    slow.back().send("GET /much HTTP/1.1\r\nHost: x\r\n\r\n");
    slow.back().receive(1);  // the rest waits in the server
  }
  for (int i = 0; i < 100; ++i) EXPECT_EQ(ask(server.port(), kGet)->body, "GET /a?|");
  wait_until([&] { return server.stats().num_exchanges == std::ssize(slow); });
  for (RawClient& client : slow) EXPECT_EQ(client.read_response()->body.size(), much.size());
}

TEST(Limits, AClientThatReadsSlowlyGetsEverything) {
  const std::string body(8'000'000, 'y');
  ServerOptions options = test_options([&](auto exchange) { exchange->respond({.body = body}); });
  options.timeouts.write = milliseconds(20'000);
  Server server(std::move(options));
  RawClient client(server.port());
  client.send(kGet);
  EXPECT_EQ(client.read_response()->body, body);
}

TEST(Disconnect, IsHeardOfWhileAnAnswerIsWaitedFor) {
  Holder holder;
  Server server(test_options(holder.handler()));
  std::optional<RawClient> client(server.port());
  client->send(kGet);
  const auto exchange = holder.exchanges.take();
  client.reset();
  wait_until([&] { return holder.num_aborts == 1; });
  (*exchange)->respond({.body = "nobody reads this"});
  EXPECT_EQ(server.stats().num_exchanges, 0);
}

TEST(Disconnect, IsHeardOfWhileStreaming) {
  Holder holder;
  Server server(test_options(holder.handler()));
  RawClient client(server.port());
  client.send(kGet);
  const auto exchange = holder.exchanges.take();
  (*exchange)->start_stream({});
  EXPECT_TRUE((*exchange)->write("one"));
  client.read_until("one");
  client.reset();
  wait_until([&] { return holder.num_aborts == 1; });
  EXPECT_FALSE((*exchange)->write("two"));
}

TEST(Disconnect, IsHeardOfBehindAPipelinedRequest) {
  Holder holder;
  Server server(test_options(holder.handler()));
  std::optional<RawClient> client(server.port());
  client->send(std::string(kGet) + std::string(kGet));
  const auto exchange = holder.exchanges.take();
  client.reset();
  wait_until([&] { return holder.num_aborts == 1; });
  EXPECT_EQ(holder.exchanges.size(), 0u) << "the second request of a client that left is not run";
}

TEST(Disconnect, IsToldAtOnceToWhoAsksLate) {
  Mailbox<std::shared_ptr<Exchange>> exchanges;
  Server server(test_options([&](auto exchange) { exchanges.put(std::move(exchange)); }));
  std::optional<RawClient> client(server.port());
  client->send(kGet);
  const auto exchange = exchanges.take();
  client.reset();
  wait_until([&] { return server.stats().num_connections == 0; });
  Mailbox<bool> aborts;
  (*exchange)->on_abort([&] { aborts.put(true); });
  EXPECT_EQ(aborts.take(), true);
}

TEST(Disconnect, OfAnAnsweredRequestIsNobodysBusiness) {
  Holder holder;
  Server server(test_options(holder.handler()));
  {
    RawClient client(server.port());
    client.send(kGet);
    const auto exchange = holder.exchanges.take();
    (*exchange)->respond({.body = "x"});
    client.read_response();
  }
  wait_until([&] { return server.stats().num_connections == 0; });
  EXPECT_EQ(holder.num_aborts, 0);
}

TEST(Stop, AbortsWhatIsNotAnsweredAndLeavesHeldExchangesHarmless) {
  Holder holder;
  auto server = std::make_unique<Server>(test_options(holder.handler()));
  RawClient client(server->port());
  client.send(kGet);
  const auto exchange = holder.exchanges.take();
  (*exchange)->start_stream({});
  server.reset();
  EXPECT_EQ(holder.num_aborts, 1);
  EXPECT_FALSE((*exchange)->write("x"));
  (*exchange)->post([] { FAIL() << "a task runs after the server is gone"; });
  bool is_told = false;
  (*exchange)->on_abort([&] { is_told = true; });
  EXPECT_TRUE(is_told);
}

TEST(Drain, ClosesIdleConnectionsAndOthersAfterTheirAnswer) {
  Holder holder;
  Server server(test_options(holder.handler()));
  RawClient idle(server.port());
  idle.send(kGet);
  (*holder.exchanges.take())->respond({.body = "first"});
  EXPECT_EQ(idle.read_response()->body, "first");
  RawClient busy(server.port()), fresh(server.port());
  busy.send(kGet);
  const auto exchange = holder.exchanges.take();
  wait_until([&] { return server.stats().num_connections == 3; });
  server.begin_drain();
  EXPECT_EQ(idle.read_all(), "");
  fresh.send(kGet);
  (*holder.exchanges.take())->respond({.status = 503});
  EXPECT_EQ(fresh.read_response()->headers.at("connection"), "close");
  (*exchange)->respond({.body = "last"});
  EXPECT_EQ(busy.read_response()->body, "last");
  busy.shut_down_sending();
  EXPECT_EQ(busy.read_all(), "");
  RawClient late(server.port());
  late.send(kGet);
  const auto answered = holder.exchanges.take();
  (*answered)->respond({.status = 503});
  EXPECT_EQ(late.read_response()->headers.at("connection"), "close");
}

TEST(Load, AThousandStreamsRunAtOnceAndLeaveNoDescriptorBehind) {
  constexpr int kNumStreams = 1000;
  const int before = count_descriptors();
  {
    Mailbox<std::shared_ptr<Exchange>> exchanges;
    Server server(test_options([&](auto exchange) {
      exchange->start_stream({.content_type = "text/event-stream"});
      exchanges.put(std::move(exchange));
    }));
    std::vector<RawClient> clients;
    for (int i = 0; i < kNumStreams; ++i) {
      clients.emplace_back(server.port());
      clients.back().send("GET /" + std::to_string(i) + " HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    std::vector<std::shared_ptr<Exchange>> open;
    for (int i = 0; i < kNumStreams; ++i) open.push_back(*exchanges.take());
    EXPECT_EQ(server.stats().num_exchanges, kNumStreams);
    for (int token = 0; token < 10; ++token)
      for (const auto& exchange : open)
        ASSERT_TRUE(exchange->write(exchange->request().path + ":" + std::to_string(token) + " "));
    for (const auto& exchange : open) exchange->finish();
    for (int i = 0; i < kNumStreams; ++i) {
      std::string expected;
      for (int token = 0; token < 10; ++token)
        expected += "/" + std::to_string(i) + ":" + std::to_string(token) + " ";
      const auto response = clients[static_cast<size_t>(i)].read_response();
      ASSERT_TRUE(response);
      ASSERT_EQ(response->body, expected);
    }
    clients.clear();
    wait_until([&] { return server.stats().num_connections == 0; });
  }
  EXPECT_EQ(count_descriptors(), before);
}

}  // namespace
}  // namespace veloz::net
