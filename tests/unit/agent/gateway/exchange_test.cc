#include "agent/gateway/exchange.h"

#include <sys/resource.h>
#include <sys/time.h>

#include <atomic>
#include <ctime>
#include <thread>

#include "tests/unit/agent/gateway/gateway_fixture.h"
#include "tests/unit/agent/gateway/stub_service.h"

namespace cryopod::gateway {
namespace {

using std::chrono::milliseconds;
using test::HttpClient;
using test::HttpResponse;
using test::SendAll;
using test::StubService;
using ::testing::HasSubstr;

constexpr char kGet[] = "GET /x HTTP/1.1\r\nHost: n\r\n\r\n";
constexpr char kNoContent[] = "HTTP/1.1 204 No Content\r\n\r\n";
// Of no use to who keeps it in memory, and far beyond what the kernel takes for two sockets.
constexpr size_t kLong = 64 << 20;

std::string PostHead(size_t body_bytes) {
  return "POST /x HTTP/1.1\r\nHost: n\r\nContent-Length: " + std::to_string(body_bytes) +
         "\r\n\r\n";
}

// Sends until `total` or until nobody has taken anything for a while; how much.
size_t SendWhileTaken(int fd, size_t total) {
  const timeval patience = {1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  static const std::string kPart(64 << 10, 'b');
  size_t sent = 0;
  while (sent < total) {
    const ssize_t taken =
        ::send(fd, kPart.data(), std::min(kPart.size(), total - sent), MSG_NOSIGNAL);
    if (taken <= 0) break;
    sent += static_cast<size_t>(taken);
  }
  return sent;
}

size_t ReceiveBytes(int fd, size_t total) {
  std::string part(64 << 10, '\0');
  size_t received = 0;
  while (received < total) {
    const ssize_t got = ::recv(fd, part.data(), std::min(part.size(), total - received), 0);
    if (got <= 0) break;
    received += static_cast<size_t>(got);
  }
  return received;
}

class ExchangeTest : public test::GatewayFixture {
 protected:
  void Start(StubService::Serve serve) {
    stub_ = std::make_unique<StubService>(std::move(serve));
    StartFront(PortOf(stub_->listener()));
  }
  void TearDown() override {
    go_on_ = true;
    front_.reset();
    stub_.reset();
  }
  static void AnswerNothing(int fd) {
    StubService::ReadHead(fd);
    SendAll(fd, kNoContent);
  }
  void WaitToGoOn() const {
    while (!go_on_) std::this_thread::sleep_for(milliseconds(5));
  }
  std::string Refused(int code) const {
    return Sample("cryopod_gateway_requests_total{code=\"" + std::to_string(code) +
                  "\",path=\"other\"}");
  }

  std::atomic<bool> go_on_ = false;
  std::unique_ptr<StubService> stub_;
};

TEST_F(ExchangeTest, ALongBodyWaitsWithItsClientAndPassesWhole) {
  options_.bodies_bytes_max = kLong;
  std::atomic<size_t> received = 0;
  Start([&](int fd) {
    EXPECT_THAT(StubService::ReadHead(fd), HasSubstr("\r\nConnection: close\r\n\r\n"));
    WaitToGoOn();
    received = ReceiveBytes(fd, kLong);
    SendAll(fd, kNoContent);
  });
  HttpClient client(port_);
  client.Send(PostHead(kLong));

  const size_t before = SendWhileTaken(client.fd(), kLong);
  EXPECT_LT(before, kLong / 2);  // nobody but the kernel has it
  go_on_ = true;
  EXPECT_EQ(SendWhileTaken(client.fd(), kLong - before), kLong - before);

  EXPECT_EQ(client.Receive(true).code, 204);
  EXPECT_EQ(received, kLong);
}

TEST_F(ExchangeTest, ALongAnswerInChunksWaitsWithTheServiceAndPassesWhole) {
  std::atomic<size_t> before = kLong;
  Start([&](int fd) {
    StubService::ReadHead(fd);
    SendAll(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4000000\r\n");
    before = SendWhileTaken(fd, kLong);
    go_on_ = true;
    SendWhileTaken(fd, kLong - before);
    SendAll(fd, "\r\n0\r\n\r\n");
  });
  HttpClient client(port_);
  client.Send(kGet);
  ASSERT_TRUE(Eventually([&] { return go_on_.load(); }));

  EXPECT_LT(before, kLong / 2);
  const std::string head = StubService::ReadHead(client.fd());
  EXPECT_THAT(head, ::testing::StartsWith("HTTP/1.1 200 OK\r\nConnection: close\r\n"));
  EXPECT_EQ(ReceiveBytes(client.fd(), 9), 9u);
  EXPECT_EQ(ReceiveBytes(client.fd(), kLong), kLong);
  EXPECT_EQ(ReceiveBytes(client.fd(), kLong), 7u);
}

TEST_F(ExchangeTest, AnAnswerMayPauseAndABodyMayStillBeComing) {
  Start([&](int fd) {
    StubService::ReadHead(fd);
    for (const char* part :
         {"HTTP/1.1 200 O", "K\r\nContent-Le", "ngth: 2\r\n\r", "\n", "o", "k"}) {
      SendAll(fd, part);
      std::this_thread::sleep_for(milliseconds(20));
    }
    ReceiveBytes(fd, 100);
  });
  HttpClient client(port_);
  client.Send(PostHead(100) + "half");

  EXPECT_EQ(client.Receive().body, "ok");

  client.Send(std::string(96, 'b'));
  EXPECT_TRUE(client.Ended());
}

TEST_F(ExchangeTest, WhoAsksBeforeItSendsABodyIsToldToGoOn) {
  Start([](int fd) {
    StubService::ReadHead(fd);
    if (ReceiveBytes(fd, 4) == 4) SendAll(fd, kNoContent);
  });
  HttpClient client(port_);

  client.Send("POST /x HTTP/1.1\r\nHost: n\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.Receive(true).code, 100);
  client.Send("body");

  EXPECT_EQ(client.Receive(true).code, 204);
}

TEST_F(ExchangeTest, WhoHasSaidAllIsStillAnswered) {
  Start(AnswerNothing);
  HttpClient client(port_);
  client.Send(kGet);
  ::shutdown(client.fd(), SHUT_WR);

  EXPECT_EQ(client.Receive(true).code, 204);
}

TEST_F(ExchangeTest, ABodyThatTricklesEndsTheConnection) {
  options_.timeouts.request = milliseconds(300);
  Start([](int fd) { ReceiveBytes(fd, kLong); });
  HttpClient client(port_);
  client.Send(PostHead(1'000));

  std::thread slow([&] {
    for (int i = 0; i < 40 && client.Send("b"); ++i) std::this_thread::sleep_for(milliseconds(50));
  });

  EXPECT_EQ(client.Receive().code, 408);
  slow.join();
  EXPECT_EQ(Ended("request_slow"), "1");
}

TEST_F(ExchangeTest, WhoTakesNoMoreOfItsAnswerIsLeft) {
  options_.timeouts.response = milliseconds(300);
  std::atomic<bool> left = false;
  Start([&](int fd) {
    StubService::ReadHead(fd);
    SendAll(fd, "HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n");
    // One that has gone takes no more, and is no reason to wait.
    const std::string part(64 << 10, 'a');
    while (SendAll(fd, part)) {
    }
    left = true;
  });
  HttpClient lazy(port_);
  lazy.Send(kGet);

  EXPECT_TRUE(Eventually([&] { return Ended("response_slow") == "1" && left; }));
}

TEST_F(ExchangeTest, AServiceThatIsSilentIsAnsweredFor) {
  options_.timeouts.service = milliseconds(300);
  Start([](int fd) { ReceiveBytes(fd, kLong); });

  EXPECT_EQ(Get("/x").code, 504);
  EXPECT_EQ(Refused(504), "1");
}

TEST_F(ExchangeTest, AServiceThatIsGoneOrBreaksOffIsAnsweredForUnlessItsAnswerHasBegun) {
  Start([](int fd) {
    const std::string head = StubService::ReadHead(fd);
    if (head.starts_with("GET /head ")) SendAll(fd, "HTTP/1.1 200 OK\r\n");
    if (head.starts_with("GET /body ")) {
      SendAll(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    }
  });
  EXPECT_EQ(Get("/nothing").code, 503);
  EXPECT_EQ(Get("/head").code, 503);
  EXPECT_EQ(Get("/body").code, 0) << "it ends before its length";

  stub_.reset();
  EXPECT_EQ(Get("/x").code, 503);
}

TEST_F(ExchangeTest, BodiesHaveOneLimitForAllAndTheSlowestMakesRoom) {
  options_.bodies_bytes_max = 1'000;
  std::atomic<int> heads = 0;
  Start([&](int fd) {
    StubService::ReadHead(fd);
    ++heads;
    if (ReceiveBytes(fd, 600) == 600) SendAll(fd, kNoContent);
  });
  HttpClient slow(port_);
  slow.Send(PostHead(600) + "b");
  ASSERT_TRUE(Eventually([&] { return heads == 1; }));
  HttpClient large(port_);
  large.Send(PostHead(1'001));
  EXPECT_EQ(large.Receive().code, 413);

  HttpClient quick(port_);
  quick.Send(PostHead(600) + std::string(600, 'b'));

  EXPECT_EQ(quick.Receive(true).code, 204);
  EXPECT_TRUE(slow.Ended());
  EXPECT_EQ(Ended("made_room"), "1");
}

// So much processor time in so much time.
double BusyShare(milliseconds during) {
  const std::clock_t before = std::clock();
  std::this_thread::sleep_for(during);
  return static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC /
         std::chrono::duration<double>(during).count();
}

// No descriptor beyond the number that the next one would have, and `more`.
class DescriptorLimit {
 public:
  explicit DescriptorLimit(rlim_t more) {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const UniqueFd next(::dup(0));
    const rlimit limit = {static_cast<rlim_t>(next.get()) + more, before_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
  ~DescriptorLimit() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

TEST_F(ExchangeTest, WithoutDescriptorsClientsWaitOrAreToldAndNobodySpins) {
  Start(AnswerNothing);
  // Where it meets a type for the first time, UBSan wants a descriptor: so do failures that print.
  EXPECT_EQ(HttpClient(port_).Get("/ no target").code, 400);
  ASSERT_TRUE(Eventually([&] { return Sample("cryopod_gateway_connections") == "0"; }));
  double busy_share = 1;
  int answers = 1;
  {
    HttpClient waiting(port_, "127.0.0.1", test::When::kLater);
    {
      const DescriptorLimit none(0);
      waiting.Connect();
      waiting.Send(kGet);
      busy_share = BusyShare(milliseconds(600));
      pollfd answer = {waiting.fd(), POLLIN, 0};
      answers = ::poll(&answer, 1, 0);
    }
    EXPECT_EQ(answers, 0);
    EXPECT_LT(busy_share, 0.5);
    EXPECT_EQ(waiting.Receive(true).code, 204);
  }
  ASSERT_TRUE(Eventually([&] { return Sample("cryopod_gateway_connections") == "0"; }));

  HttpClient told(port_, "127.0.0.1", test::When::kLater);
  HttpResponse answer;
  {
    const DescriptorLimit one(1);
    told.Connect();
    told.Send(kGet);
    answer = told.Receive();
  }
  EXPECT_EQ(answer.code, 503);
}

TEST_F(ExchangeTest, IdleAndDoneConnectionsCostNoTime) {
  Start([&](int fd) {
    StubService::ReadHead(fd);
    WaitToGoOn();
  });
  // One that says nothing, one that awaits its answer and one of both that has gone half.
  HttpClient silent(port_);
  HttpClient waiting(port_);
  waiting.Send(kGet);
  HttpClient half(port_);
  half.Send(kGet);
  ::shutdown(half.fd(), SHUT_WR);

  EXPECT_LT(BusyShare(milliseconds(600)), 0.5);
}

}  // namespace
}  // namespace cryopod::gateway
