#include <gmock/gmock.h>

#include <filesystem>
#include <string>
#include <vector>

#include "agent/os/proc.h"
#include "agent/os/seccomp_filters.h"
#include "tests/support/allow_all_filter.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/restore/runtime/wrapper_fixture.h"

namespace cryopod::wrapper {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr char kProfile[] =
    R"(, "linux": {"cgroupsPath": "/pods/c1", "seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}})";

// What `create` of a container that is to be restored tells the agent of its seccomp filters.
class LiveFiltersTest : public WrapperFixture {
 protected:
  Request CreateAnd(const std::string& config) {
    WriteBundle("app", config);
    StartAgent(Answer::Pass());
    EXPECT_EQ(Create(), 0);
    const std::vector<Request> requests = agent_->requests();
    EXPECT_THAT(requests, SizeIs(1));
    return requests.empty() ? Request() : requests.front();
  }
  // The fake runtime's calls for the container that the filters are read from.
  std::vector<std::string> ProbeCalls() const {
    std::vector<std::string> calls;
    for (const std::string& call : RuntimeCalls()) {
      if (call.ends_with(" cryopod-probe")) calls.push_back(call);
    }
    return calls;
  }
  const std::vector<SeccompFilter> expected_ = {{{test::AllowAllBytes(7)}, 0}};
};

TEST_F(LiveFiltersTest, TheyAreThoseThatTheRuntimeMakesOfTheProfile) {
  const Request request = CreateAnd(kProfile);

  EXPECT_EQ(request.seccomp_filters, expected_);
  EXPECT_EQ(request.seccomp_failure, "");
  EXPECT_THAT(test::ReadText(Path("probe.json")),
              AllOf(HasSubstr(R"("seccomp":{"defaultAction":"SCMP_ACT_ALLOW"})"),
                    HasSubstr(R"("cgroupsPath":"/pods/c1-probe")"),
                    HasSubstr(R"("noNewPrivileges":false)"), Not(HasSubstr("annotations"))));
}

TEST_F(LiveFiltersTest, NothingIsLeftOfTheContainerThatTheyWereReadFrom) {
  CreateAnd(kProfile);

  EXPECT_THAT(ProbeCalls(), ElementsAre(HasSubstr(" create "), HasSubstr(" delete --force ")));
  const Result<ProcessInfo> process = ReadProcessInfo(std::stoi(test::ReadText(Path("probe.pid"))));
  EXPECT_TRUE(!process.ok() || IsZombie(*process));
  EXPECT_FALSE(fs::exists(Path("seccomp/cryopod-probe")));
}

TEST_F(LiveFiltersTest, ASecondContainerOfTheProfileNeedsNoRuntime) {
  CreateAnd(kProfile);
  const size_t calls = ProbeCalls().size();

  EXPECT_EQ(CreateAnd(kProfile).seccomp_filters, expected_);

  EXPECT_THAT(ProbeCalls(), SizeIs(calls));
}

TEST_F(LiveFiltersTest, AnotherProfileOrAnotherRuntimeIsAskedAnew) {
  CreateAnd(kProfile);
  const size_t calls = ProbeCalls().size();

  CreateAnd(R"(, "linux": {"seccomp": {"defaultAction": "SCMP_ACT_LOG"}})");
  EXPECT_THAT(ProbeCalls(), SizeIs(2 * calls));

  test::WriteText(Path("fake-runtime"), test::ReadText(Path("fake-runtime")) + "# newer\n");
  CreateAnd(kProfile);
  EXPECT_THAT(ProbeCalls(), SizeIs(3 * calls));
}

TEST_F(LiveFiltersTest, WhatIsKeptOfThemAndIsDamagedIsAskedAnew) {
  CreateAnd(kProfile);
  for (const auto& entry : fs::directory_iterator(Path("seccomp"))) {
    if (entry.path().filename() != "lock") test::WriteText(entry.path(), "\x0a\xff");
  }

  EXPECT_EQ(CreateAnd(kProfile).seccomp_filters, expected_);
}

TEST_F(LiveFiltersTest, WhatAKilledCallHasLeftIsRemovedFirst) {
  fs::create_directories(Path("seccomp/cryopod-probe/rootfs/dev"));

  EXPECT_EQ(CreateAnd(kProfile).seccomp_filters, expected_);

  EXPECT_THAT(ProbeCalls(), ElementsAre(HasSubstr(" delete --force "), HasSubstr(" create "),
                                        HasSubstr(" delete --force ")));
}

TEST_F(LiveFiltersTest, WithoutAProfileThereAreNoneAndNobodyIsAsked) {
  const Request request = CreateAnd("");

  EXPECT_THAT(request.seccomp_filters, IsEmpty());
  EXPECT_EQ(request.seccomp_failure, "");
  EXPECT_THAT(ProbeCalls(), IsEmpty());
}

TEST_F(LiveFiltersTest, ARuntimeThatCannotIsSaidToTheAgentWithItsReason) {
  test::WriteText(Path("probe.exit"), "1");
  test::WriteText(Path("log.json"), "{\"level\":\"error\",\"msg\":\"no such action\"}\n");

  const Request request = CreateAnd(kProfile);

  EXPECT_THAT(request.seccomp_filters, IsEmpty());
  EXPECT_THAT(request.seccomp_failure, HasSubstr("no such action"));
  EXPECT_THAT(test::ReadText(Path("probe.json")), HasSubstr(R"("noNewPrivileges":true)"))
      << "some set them early only with it";
  EXPECT_FALSE(fs::exists(Path("seccomp/cryopod-probe")));
}

TEST_F(LiveFiltersTest, AProfileWithASupervisorIsSaidToTheAgent) {
  for (const char* profile :
       {R"("listenerPath": "/run/supervisor")", R"("defaultAction": "SCMP_ACT_NOTIFY")",
        R"("syscalls": [{"names": ["mount"], "action": "SCMP_ACT_NOTIFY"}])"}) {
    const Request request = CreateAnd(std::string(R"(, "linux": {"seccomp": {)") + profile + "}}");

    EXPECT_THAT(request.seccomp_filters, IsEmpty());
    EXPECT_THAT(request.seccomp_failure, HasSubstr("supervisor"));
  }
  EXPECT_THAT(ProbeCalls(), IsEmpty());
}

}  // namespace
}  // namespace cryopod::wrapper
