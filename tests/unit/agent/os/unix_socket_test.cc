#include "agent/os/unix_socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "agent/os/file.h"
#include "tests/support/read_text.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod {
namespace {

using std::chrono::milliseconds;
using test::IsOk;
using test::IsOkAnd;
using test::Soon;
using test::StatusIs;
using ::testing::Field;
using ::testing::HasSubstr;

class UnixSocketTest : public ::testing::Test {
 protected:
  UnixSocketTest() {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) ADD_FAILURE();
    left_.Reset(ends[0]);
    right_.Reset(ends[1]);
  }
  void SendRaw(std::string_view bytes) { ASSERT_THAT(WriteAll(left_.get(), bytes), IsOk()); }

  test::TempDirectory temp_;
  std::string path_ = temp_.path() / "agent.sock";
  UniqueFd left_;
  UniqueFd right_;
};

TEST_F(UnixSocketTest, AClientReachesAListener) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd listener, ListenUnix(path_));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd client, ConnectUnix(path_, Soon()));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd server, AcceptUnix(listener.get(), Soon()));

  ASSERT_THAT(SendFrame(client.get(), "hello", Soon()), IsOk());
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Frame frame, ReceiveFrame(server.get(), Soon()));

  EXPECT_EQ(frame.bytes, "hello");
  EXPECT_TRUE(frame.descriptors.empty());
  for (const int fd : {listener.get(), client.get(), server.get()}) {
    EXPECT_EQ(::fcntl(fd, F_GETFD), FD_CLOEXEC);
  }
}

TEST_F(UnixSocketTest, TheSocketFileHasItsModeWhateverTheUmask) {
  for (const mode_t mask : {mode_t{0}, mode_t{077}}) {
    const mode_t old_mask = ::umask(mask);
    const Result<UniqueFd> listener = ListenUnix(path_, 0660);
    ::umask(old_mask);

    ASSERT_THAT(listener, IsOk());
    struct stat info {};
    ASSERT_EQ(::stat(path_.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0660u);
  }
}

TEST_F(UnixSocketTest, AFileThatIsNoSocketIsNotReplaced) {
  test::WriteText(path_, "keep");

  EXPECT_THAT(ListenUnix(path_), StatusIs(Code::kAlreadyExists, HasSubstr(path_)));

  EXPECT_EQ(test::ReadText(path_), "keep");
}

TEST_F(UnixSocketTest, APathThatDoesNotFitIsRefusedByName) {
  const std::string path = temp_.path() / std::string(120, 'x');

  EXPECT_THAT(ListenUnix(path), StatusIs(Code::kInvalidArgument, HasSubstr(path)));
  EXPECT_THAT(ConnectUnix(path, Soon()), StatusIs(Code::kInvalidArgument));
  EXPECT_THAT(ConnectUnix("", Soon()), StatusIs(Code::kInvalidArgument));
}

TEST_F(UnixSocketTest, WhereNobodyListensThePathIsNamedAndAnOldSocketFileIsReplaced) {
  EXPECT_THAT(ConnectUnix(path_, Soon()), StatusIs(Code::kUnavailable, HasSubstr(path_)));
  { CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd old, ListenUnix(path_)); }
  EXPECT_THAT(ConnectUnix(path_, Soon()), StatusIs(Code::kUnavailable, HasSubstr(path_)));

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd listener, ListenUnix(path_));
  EXPECT_THAT(ConnectUnix(path_, Soon()), IsOk());
}

TEST_F(UnixSocketTest, AListenerOrClientThatNeverComesCostsTheDeadlineOnly) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd listener, ListenUnix(path_));
  EXPECT_THAT(AcceptUnix(listener.get(), Deadline::After(milliseconds(20))),
              StatusIs(Code::kDeadlineExceeded));
  std::vector<UniqueFd> clients;
  Status last;
  for (int i = 0; i < 1000 && last.ok(); ++i) {
    Result<UniqueFd> client = ConnectUnix(path_, Deadline::After(milliseconds(50)));
    last = client.status();
    if (client.ok()) clients.push_back(std::move(client).value());
  }

  EXPECT_THAT(last, StatusIs(Code::kDeadlineExceeded, HasSubstr(path_)));
}

TEST_F(UnixSocketTest, AFrameIsALittleEndianLengthAndItsBytes) {
  ASSERT_THAT(SendFrame(left_.get(), "abc", Soon()), IsOk());
  left_.Reset();

  EXPECT_THAT(ReadAll(right_.get(), 100), IsOkAnd(std::string("\x03\0\0\0abc", 7)));
}

TEST_F(UnixSocketTest, FramesKeepTheirBounds) {
  const std::string frames[] = {"first", "", "third"};
  for (const std::string& bytes : frames) {
    ASSERT_THAT(SendFrame(left_.get(), bytes, Soon()), IsOk());
  }

  for (const std::string& bytes : frames) {
    EXPECT_THAT(ReceiveFrame(right_.get(), Soon()), IsOkAnd(Field(&Frame::bytes, bytes)));
  }
}

TEST_F(UnixSocketTest, AFrameAboveTheSocketBufferArrivesWhole) {
  const std::string bytes(kFrameBytesMax, 'q');
  std::thread sender([&] { EXPECT_THAT(SendFrame(left_.get(), bytes, Soon()), IsOk()); });

  EXPECT_THAT(ReceiveFrame(right_.get(), Soon()), IsOkAnd(Field(&Frame::bytes, bytes)));
  sender.join();
}

TEST_F(UnixSocketTest, ATooLongFrameIsRefusedOnBothSides) {
  EXPECT_THAT(SendFrame(left_.get(), std::string(kFrameBytesMax + 1, 'x'), Soon()),
              StatusIs(Code::kInvalidArgument));
  SendRaw(std::string("\x01\0\x10\0", 4));  // 1 MiB + 1

  EXPECT_THAT(ReceiveFrame(right_.get(), Soon()),
              StatusIs(Code::kResourceExhausted, HasSubstr("1048577")));
}

TEST_F(UnixSocketTest, TheEndBetweenFramesIsNotTheEndInsideOne) {
  SendRaw(std::string("\x01\0\0\0x", 5));
  SendRaw(std::string("\x05\0\0\0xy", 6));
  left_.Reset();

  EXPECT_THAT(ReceiveFrame(right_.get(), Soon()), IsOk());
  EXPECT_THAT(ReceiveFrame(right_.get(), Soon()), StatusIs(Code::kDataLoss));
  EXPECT_THAT(ReceiveFrame(right_.get(), Soon()), StatusIs(Code::kUnavailable));
}

TEST_F(UnixSocketTest, AHeaderThatIsCutShortIsDataLoss) {
  SendRaw(std::string("\x05\0", 2));
  left_.Reset();

  EXPECT_THAT(ReceiveFrame(right_.get(), Soon()), StatusIs(Code::kDataLoss));
}

TEST_F(UnixSocketTest, APeerThatSaysNothingOrNeverReadsCostsTheDeadlineOnly) {
  const Deadline deadline = Deadline::After(milliseconds(50));
  const std::string bytes(kFrameBytesMax, 'q');

  EXPECT_THAT(ReceiveFrame(right_.get(), deadline), StatusIs(Code::kDeadlineExceeded));
  SendRaw(std::string("\x05\0\0\0xy", 6));
  EXPECT_THAT(ReceiveFrame(right_.get(), deadline), StatusIs(Code::kDeadlineExceeded));
  EXPECT_THAT(SendFrame(left_.get(), bytes, deadline), StatusIs(Code::kDeadlineExceeded));
}

TEST_F(UnixSocketTest, SendingToAPeerThatHasGoneIsAnErrorNotASignal) {
  right_.Reset();

  EXPECT_THAT(SendFrame(left_.get(), "x", Soon()), StatusIs(Code::kUnavailable));
}

TEST_F(UnixSocketTest, DescriptorsComeWithTheirFrame) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Pipe pipe, MakePipe());
  const std::vector<int> ends = {pipe.read_end.get(), pipe.write_end.get()};
  ASSERT_THAT(SendFrame(left_.get(), "none", Soon()), IsOk());
  ASSERT_THAT(SendFrame(left_.get(), "two", Soon(), ends), IsOk());

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Frame none, ReceiveFrame(right_.get(), Soon()));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Frame two, ReceiveFrame(right_.get(), Soon()));

  EXPECT_TRUE(none.descriptors.empty());
  ASSERT_EQ(two.descriptors.size(), 2u);
  EXPECT_EQ(::fcntl(two.descriptors[0].get(), F_GETFD), FD_CLOEXEC);
  EXPECT_THAT(WriteAll(two.descriptors[1].get(), "x"), IsOk());
  char byte = 0;
  EXPECT_EQ(::read(two.descriptors[0].get(), &byte, 1), 1);
}

TEST_F(UnixSocketTest, AStrangersDescriptorsDoNotPileUp) {
  const std::vector<int> many(33, left_.get());

  EXPECT_THAT(SendFrame(left_.get(), "x", Soon(), many), StatusIs(Code::kInvalidArgument));
}

TEST_F(UnixSocketTest, TellsWhoThePeerIs) {
  EXPECT_THAT(ReadPeerPid(left_.get()), IsOkAnd(::getpid()));
  EXPECT_FALSE(ReadPeerPid(-1).ok());
}

}  // namespace
}  // namespace cryopod
