#include "restore/security_context.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <tuple>

#include "restore/live_rules.h"
#include "tests/support/status_matchers.h"

namespace cryopod::restore {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kNetRaw = uint64_t{1} << 13;
constexpr uint64_t kSetgid = uint64_t{1} << 6;
constexpr uint64_t kSetuid = uint64_t{1} << 7;
constexpr uint64_t kSysAdmin = uint64_t{1} << 21;
constexpr uint64_t CapabilitySets::*kEverySet[] = {
    &CapabilitySets::inheritable, &CapabilitySets::permitted, &CapabilitySets::effective,
    &CapabilitySets::bounding, &CapabilitySets::ambient};

// What a restricted pod asks for.
SecurityContext Restricted() {
  SecurityContext context;
  context.uid = 1000;
  context.gid = 1000;
  context.additional_gids = {2000};
  context.no_new_privs = true;
  context.has_seccomp = true;
  return context;
}

TaskCredentials RestrictedTask() {
  TaskCredentials task;
  for (uint32_t& uid : task.uids) uid = 1000;
  for (uint32_t& gid : task.gids) gid = 1000;
  task.no_new_privs = true;
  task.seccomp_mode = 2;
  return task;
}

SecurityContext Context(const std::string& config, const FileCapabilities& program = {}) {
  return SecurityContextOf(json::Parse(config).value(), program);
}

// The message of the refusal; empty when there is none.
std::string Refusal(const SecurityContext& context, const TaskCredentials& task) {
  return CheckCredentials(context, task, Place::kFirst).message();
}

TEST(SecurityContextTest, WhatTheBundleAsksForIsRead) {
  const SecurityContext context = Context(R"({
    "process": {"user": {"uid": 5, "gid": 6, "additionalGids": [7, 8]}, "noNewPrivileges": true,
      "capabilities": {"bounding": ["CAP_NET_RAW", "CAP_OF_TOMORROW"], "effective": ["CAP_NET_RAW"],
                       "permitted": ["CAP_NET_RAW"]}},
    "linux": {"seccomp": {"defaultAction": "SCMP_ACT_ERRNO"}}})");

  EXPECT_EQ(context.uid, 5u);
  EXPECT_EQ(context.gid, 6u);
  EXPECT_THAT(context.additional_gids, ::testing::ElementsAre(7u, 8u));
  EXPECT_EQ(context.bounding, kNetRaw);
  EXPECT_EQ(context.inheritable, 0u);
  EXPECT_TRUE(context.no_new_privs);
  EXPECT_TRUE(context.has_seccomp);
}

TEST(SecurityContextTest, WhatTheBundleLeavesOutIsNotGranted) {
  const SecurityContext context = Context(R"({"process": {}})");

  EXPECT_EQ(context.bounding, 0u);
  EXPECT_FALSE(context.no_new_privs);
  EXPECT_FALSE(context.has_seccomp);
}

TEST(SecurityContextTest, AProcessLikeTheRequestsIsAllowed) {
  EXPECT_TRUE(CheckCredentials(Restricted(), RestrictedTask(), Place::kFirst).ok());
}

TEST(SecurityContextTest, AProcessThatGaveUpPrivilegesIsAllowed) {
  SecurityContext context;
  context.bounding = context.permitted = kSetuid | kSetgid | kNetRaw;
  TaskCredentials task = RestrictedTask();
  task.groups = {1000, 4000};

  EXPECT_TRUE(CheckCredentials(context, task, Place::kFirst).ok());
}

TEST(SecurityContextTest, ACapabilityBeyondTheBoundingSetIsRefusedByName) {
  for (uint64_t CapabilitySets::*set : kEverySet) {
    TaskCredentials task = RestrictedTask();
    task.capabilities.*set = kSysAdmin;

    const Status status = CheckCredentials(Restricted(), task, Place::kFirst);

    EXPECT_EQ(status.code(), Code::kPermissionDenied);
    EXPECT_THAT(status.message(), HasSubstr("CAP_SYS_ADMIN"));
  }
}

TEST(SecurityContextTest, WhatTheRequestAsksForMustBeThere) {
  TaskCredentials without_no_new_privs = RestrictedTask();
  without_no_new_privs.no_new_privs = false;
  TaskCredentials without_seccomp = RestrictedTask();
  without_seccomp.seccomp_mode = 0;

  EXPECT_THAT(Refusal(Restricted(), without_no_new_privs), HasSubstr("no no_new_privs"));
  EXPECT_THAT(Refusal(Restricted(), without_seccomp), HasSubstr("no seccomp filter"));
}

TEST(SecurityContextTest, AnotherUserIsAllowedOnlyWhereASetIdFileCouldHaveGivenIt) {
  SecurityContext context = Restricted();
  context.no_new_privs = false;
  context.bounding = kSetuid;
  TaskCredentials task = RestrictedTask();
  task.uids[1] = 0;
  task.capabilities.permitted = kSetuid;

  EXPECT_TRUE(CheckCredentials(context, task, Place::kOther).ok());
  EXPECT_THAT(Refusal(context, task), HasSubstr("CAP_SETUID"));
  task.capabilities.permitted = 0;
  EXPECT_THAT(Refusal(context, task), HasSubstr("the user 0"));
}

TEST(SecurityContextTest, AnotherGroupIsRefusedUnlessTheRequestNamesIt) {
  TaskCredentials task = RestrictedTask();
  task.gids[0] = 2000;
  EXPECT_EQ(Refusal(Restricted(), task), "");
  task.gids[0] = 3000;
  EXPECT_THAT(Refusal(Restricted(), task), HasSubstr("the group 3000"));

  task = RestrictedTask();
  task.groups = {1000, 2000};
  EXPECT_EQ(Refusal(Restricted(), task), "");
  task.groups.push_back(0);
  EXPECT_THAT(Refusal(Restricted(), task), HasSubstr("the group 0"));
}

TEST(SecurityContextTest, AnotherUserIsRefusedWithWhatTheRequestAsksFor) {
  TaskCredentials task = RestrictedTask();
  task.uids[2] = 0;

  const Status status = CheckCredentials(Restricted(), task, Place::kFirst);

  EXPECT_EQ(status.reason(), Reason::kSecurityContext);
  EXPECT_THAT(status.message(), HasSubstr("the user 0"));
  EXPECT_THAT(status.message(), HasSubstr("user 1000, group 1000, no_new_privs, seccomp"));
}

// What the exec under a request's settings leaves, and how far a restored task may go. The sets are
// those that container runtimes give: N is CAP_NET_RAW, U CAP_SETUID, B both.
struct ExecCase {
  const char* what;
  uint32_t uid;
  bool no_new_privs;
  uint64_t permitted, inheritable, ambient, bounding;  // asked for
  FileCapabilities program;
  uint64_t first, other;  // what a task may hold
};

constexpr uint64_t kB = kNetRaw | kSetuid;

const ExecCase kExecCases[] = {
    {"root", 0, false, kB, 0, 0, kB, {}, kB, kB},
    {"root, no_new_privs", 0, true, kB, 0, 0, kB, {}, kB, kB},
    {"root, no_new_privs, permitted less", 0, true, kNetRaw, 0, 0, kB, {}, kNetRaw, kNetRaw},
    {"root without capabilities", 0, false, 0, 0, 0, 0, {}, 0, 0},
    {"root, inheritable beyond bounding", 0, false, kB, kSetuid, 0, kNetRaw, {}, kB, kB},
    {"user", 1000, false, kB, 0, 0, kB, {}, 0, kB},
    {"user, no_new_privs", 1000, true, kB, 0, 0, kB, {}, 0, 0},
    {"user, inheritable", 1000, true, kB, kB, 0, kB, {}, 0, 0},
    {"user, ambient", 1000, true, kB, kB, kNetRaw, kB, {}, kNetRaw, kNetRaw},
    {"user, ambient, no no_new_privs", 1000, false, kB, kB, kNetRaw, kB, {}, kNetRaw, kB},
    {"user, ambient that is not inheritable", 1000, true, kB, 0, kNetRaw, kB, {}, 0, 0},
    {"user, dropped all", 1000, false, 0, 0, 0, 0, {kB, 0}, 0, 0},
    {"user, program with capabilities", 1000, false, 0, 0, 0, kB, {kNetRaw, 0}, kNetRaw, kB},
    {"user, program, no_new_privs", 1000, true, kNetRaw, 0, 0, kNetRaw, {kB, 0}, kNetRaw, kNetRaw},
    {"user, program that no_new_privs denies", 1000, true, 0, 0, 0, kB, {kB, 0}, 0, 0},
    {"user, program with inheritable ones", 1000, false, kB, kNetRaw, 0, kB, {0, kB}, kNetRaw, kB},
};

std::string Names(uint64_t mask) {
  std::string names;
  for (int number = 0; number < 41; ++number) {
    const uint64_t one = uint64_t{1} << number;
    if ((mask & one) != 0) names += (names.empty() ? "\"" : ",\"") + FirstCapabilityName(one) + '"';
  }
  return "[" + names + "]";
}

SecurityContext ContextOf(const ExecCase& one) {
  const std::string config =
      R"({"process": {"user": {"uid": )" + std::to_string(one.uid) +
      R"(, "gid": 1000}, "noNewPrivileges": )" + (one.no_new_privs ? "true" : "false") +
      R"(, "capabilities": {"permitted": )" + Names(one.permitted) + R"(, "effective": )" +
      Names(one.permitted) + R"(, "inheritable": )" + Names(one.inheritable) + R"(, "ambient": )" +
      Names(one.ambient) + R"(, "bounding": )" + Names(one.bounding) + "}}}";
  return Context(config, one.program);
}

TaskCredentials TaskOf(const ExecCase& one) {
  TaskCredentials task;
  for (uint32_t& uid : task.uids) uid = one.uid;
  for (uint32_t& gid : task.gids) gid = 1000;
  task.no_new_privs = one.no_new_privs;
  return task;
}

class ExecCaseTest : public ::testing::TestWithParam<std::tuple<ExecCase, Place>> {
 protected:
  const ExecCase& one() const { return std::get<0>(GetParam()); }
  Place place() const { return std::get<1>(GetParam()); }
  uint64_t may_hold() const { return place() == Place::kFirst ? one().first : one().other; }
  bool IsAllowed(const TaskCredentials& task) const {
    return CheckCredentials(ContextOf(one()), task, place()).ok();
  }
};

// Each set of each kind of process, capability by capability.
TEST_P(ExecCaseTest, ATaskMayHoldWhatTheExecLeavesAndSetIdProgramsCouldAdd) {
  for (const uint64_t capability : {kNetRaw, kSetuid, kSysAdmin}) {
    for (uint64_t CapabilitySets::*set : kEverySet) {
      SCOPED_TRACE(std::string(one().what) + " " + FirstCapabilityName(capability));
      TaskCredentials task = TaskOf(one());
      task.capabilities.*set = capability;
      uint64_t allowed = may_hold();
      if (set == &CapabilitySets::inheritable) allowed |= one().inheritable;
      if (set == &CapabilitySets::bounding) allowed = one().bounding;

      EXPECT_EQ(IsAllowed(task), (capability & ~allowed) == 0);
    }
  }
}

// Real, effective, saved and file system ID each, of users and of groups.
TEST_P(ExecCaseTest, ATaskMayBeAnotherUserOnlyWhereItMayHoldTheRight) {
  for (int id = 0; id < 4; ++id) {
    SCOPED_TRACE(one().what + std::to_string(id));
    TaskCredentials task = TaskOf(one());
    EXPECT_TRUE(IsAllowed(task));
    task.uids[id] = 33;
    EXPECT_EQ(IsAllowed(task), (may_hold() & kSetuid) != 0);
    task.uids[id] = one().uid;
    task.gids[id] = 33;
    EXPECT_FALSE(IsAllowed(task)) << "nobody has CAP_SETGID";
  }
}

INSTANTIATE_TEST_SUITE_P(All, ExecCaseTest,
                         ::testing::Combine(::testing::ValuesIn(kExecCases),
                                            ::testing::Values(Place::kFirst, Place::kOther)));

TEST(SecurityContextTest, TheProgramIsTheFirstArgumentInTheFoldersOfThePath) {
  const FirstProgram program = FirstProgramOf(*json::Parse(R"({"process": {"cwd": "/work",
      "args": ["run", "x"], "env": ["A=b", "PATH=/usr/bin:/bin"]}})"));

  EXPECT_EQ(program.name, "run");
  EXPECT_EQ(program.working_directory, "/work");
  EXPECT_THAT(program.folders, ::testing::ElementsAre("/usr/bin", "/bin"));
  for (const char* text : {R"({"process": {"args": []}})", R"({"process": {}})"}) {
    EXPECT_EQ(FirstProgramOf(*json::Parse(text)).name, "") << text;
  }
}

TEST(LiveFiltersTest, ASeccompProfileWhoseFiltersNobodyKnowsIsNoCeilingAndRefused) {
  SecurityContext context;
  wrapper::Request request;
  EXPECT_THAT(CheckLiveFilters(context, request), test::IsOk()) << "it asks for none";

  context.has_seccomp = true;
  request.seccomp_failure = "runc: no such action";
  const Status refused = CheckLiveFilters(context, request);
  EXPECT_THAT(refused, test::StatusIs(Code::kFailedPrecondition, HasSubstr("no such action")));
  EXPECT_EQ(refused.reason(), Reason::kSecurityContext);

  request.seccomp_failure.clear();
  EXPECT_THAT(CheckLiveFilters(context, request),
              test::StatusIs(Code::kFailedPrecondition, HasSubstr("cryopod-runtime is older")));

  request.seccomp_filters = {{{1}, 0}};
  EXPECT_THAT(CheckLiveFilters(context, request), test::IsOk());
}

}  // namespace
}  // namespace cryopod::restore
