#include "agent/jobs/job_events.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "agent/jobs/job_file.h"
#include "tests/support/read_text.h"
#include "tests/support/temp_directory.h"

namespace cryopod::jobs {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class JobEventsTest : public ::testing::Test {
 protected:
  EventLog Open() const { return EventLog::Open(temp_.path()).value(); }
  std::vector<JobEvent> ReadNew() { return ReadNewEvents(temp_.path(), offset_); }

  cryopod::test::TempDirectory temp_;
  size_t offset_ = 0;
};

TEST_F(JobEventsTest, WhatIsAppendedIsReadOnce) {
  EXPECT_THAT(ReadNew(), IsEmpty());
  Open().Append({"resolve", "", 0, 0});
  Open().Append({"archive", "a\nb", 1, uint64_t{1} << 40});

  EXPECT_THAT(ReadNew(), ElementsAre(JobEvent{"resolve", "", 0, 0},
                                     JobEvent{"archive", "a\nb", 1, uint64_t{1} << 40}));
  EXPECT_THAT(ReadNew(), IsEmpty());
  Open().Append({"commit", "", 0, 0});
  EXPECT_THAT(ReadNew(), ElementsAre(JobEvent{"commit", "", 0, 0}));
}

TEST_F(JobEventsTest, AHalfWrittenLineIsReadLater) {
  Open().Append({"freeze", "", 0, 0});
  const std::string line = cryopod::test::ReadText(temp_.path() / kEventsFile);
  std::ofstream file(temp_.path() / kEventsFile, std::ios::app);
  file << line.substr(0, 20) << std::flush;

  EXPECT_THAT(ReadNew(), ElementsAre(JobEvent{"freeze", "", 0, 0}));
  file << line.substr(20) << std::flush;
  EXPECT_THAT(ReadNew(), ElementsAre(JobEvent{"freeze", "", 0, 0}));
}

TEST_F(JobEventsTest, ALineThatIsNotUnderstoodIsLeftOut) {
  std::ofstream(temp_.path() / kEventsFile)
      << "rubbish\n{\"format\":9,\"readable_from\":9,\"stage\":\"x\"}\n";
  Open().Append({"dump", "", 0, 0});

  EXPECT_THAT(ReadNew(), ElementsAre(JobEvent{"dump", "", 0, 0}));
}

}  // namespace
}  // namespace cryopod::jobs
