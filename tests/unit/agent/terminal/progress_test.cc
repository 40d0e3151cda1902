#include "agent/terminal/progress.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <unistd.h>

#include <string>

#include "agent/os/unique_fd.h"

namespace cryopod::terminal {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

// A real terminal of 60 columns; what is written to it can be read at its other end.
class ProgressReportTest : public testing::Test {
 protected:
  ProgressReportTest() {
    winsize size = {};
    size.ws_col = 60;
    size.ws_row = 24;
    int ours = -1;
    int its = -1;
    if (::openpty(&ours, &its, nullptr, nullptr, &size) != 0) ADD_FAILURE() << "openpty";
    ours_ = UniqueFd(ours);
    terminal_ = UniqueFd(its);
    ::fcntl(ours_.get(), F_SETFL, O_NONBLOCK);
    console_.err = terminal_.get();
    console_.err_is_terminal = true;
  }

  // All that was written so far. A terminal hands it over in pieces and at its leisure, so that
  // only what is written last tells where it ends.
  std::string Shown() const {
    constexpr char kEnd = '\x04';
    EXPECT_EQ(::write(terminal_.get(), &kEnd, 1), 1);
    std::string shown;
    char one = 0;
    pollfd ready = {ours_.get(), POLLIN, 0};
    while (::poll(&ready, 1, 10000) == 1 && ::read(ours_.get(), &one, 1) == 1 && one != kEnd) {
      shown += one;
    }
    EXPECT_EQ(one, kEnd) << "the terminal handed over no more than " << shown;
    return shown;
  }

  UniqueFd ours_;
  UniqueFd terminal_;
  Console console_;
};

TEST(FormatBarTest, ShowsPartAndSizesOfAStageThatHasThem) {
  EXPECT_EQ(FormatBar("checkpoint shop/web", {"op", "dump", "app", 1 << 20, 2 << 20}, 200),
            "checkpoint shop/web: dump app  [############............]  50 %  1.0 MiB of 2.0 MiB");
  EXPECT_EQ(FormatBar("t", {"op", "freeze", "", 0, 0}, 80), "t: freeze");
  EXPECT_THAT(FormatBar("t", {"op", "dump", "", 9, 3}, 80), HasSubstr("]  100 %"));
}

TEST(FormatBarTest, NeverFillsTheLastColumn) {
  EXPECT_EQ(FormatBar(std::string(300, 't'), {"op", "dump", "app", 1, 2}, 60).size(), 59u);
}

TEST_F(ProgressReportTest, TheBarIsDrawnOverAndGoneAtTheEnd) {
  {
    ProgressReport report(console_, "t");
    report.Show({"op", "freeze", "", 0, 0});
    report.Show({"op", "dump", "app", 1, 2});
  }

  const std::string shown = Shown();

  EXPECT_THAT(shown, HasSubstr("\r\x1b[Kt: freeze"));
  EXPECT_THAT(shown, HasSubstr("\r\x1b[Kt: dump app  [####"));
  EXPECT_THAT(shown, EndsWith("\r\x1b[K"));
  EXPECT_THAT(shown, Not(HasSubstr("\n")));
}

TEST_F(ProgressReportTest, AFloodOfEventsIsNotAFloodOfBars) {
  ProgressReport report(console_, "t");

  for (uint64_t i = 0; i < 1000; ++i) report.Show({"op", "dump", "", i, 1000});

  EXPECT_LT(Shown().size(), 1000u);
}

TEST_F(ProgressReportTest, AnOperationWithoutEventsTouchesNothing) {
  { ProgressReport report(console_, "t"); }

  EXPECT_EQ(Shown(), "");
}

}  // namespace
}  // namespace cryopod::terminal
