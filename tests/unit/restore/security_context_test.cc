#include "restore/security_context.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace cryopod::restore {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kNetRaw = uint64_t{1} << 13;
constexpr uint64_t kSetgid = uint64_t{1} << 6;
constexpr uint64_t kSetuid = uint64_t{1} << 7;
constexpr uint64_t kSysAdmin = uint64_t{1} << 21;

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

TEST(SecurityContextTest, WhatTheBundleAsksForIsRead) {
  const Result<SecurityContext> context = ParseSecurityContext(R"({
    "process": {"user": {"uid": 5, "gid": 6, "additionalGids": [7, 8]}, "noNewPrivileges": true,
      "capabilities": {"bounding": ["CAP_NET_RAW", "CAP_OF_TOMORROW"], "effective": ["CAP_NET_RAW"],
                       "permitted": ["CAP_NET_RAW"]}},
    "linux": {"seccomp": {"defaultAction": "SCMP_ACT_ERRNO"}}})");

  ASSERT_TRUE(context.ok()) << context.status().message();
  EXPECT_EQ(context->uid, 5u);
  EXPECT_EQ(context->gid, 6u);
  EXPECT_THAT(context->additional_gids, ::testing::ElementsAre(7u, 8u));
  EXPECT_EQ(context->bounding, kNetRaw);
  EXPECT_EQ(context->initial, kNetRaw);
  EXPECT_TRUE(context->no_new_privs);
  EXPECT_TRUE(context->has_seccomp);
}

TEST(SecurityContextTest, WhatTheBundleLeavesOutIsNotGranted) {
  const Result<SecurityContext> context = ParseSecurityContext(R"({"process": {}})");

  ASSERT_TRUE(context.ok());
  EXPECT_EQ(context->bounding, 0u);
  EXPECT_FALSE(context->no_new_privs);
  EXPECT_FALSE(context->has_seccomp);
}

TEST(SecurityContextTest, ATextThatIsNoConfigurationIsRefused) {
  for (const char* text : {"", "[]", "{\"process\": 5}", "{"}) {
    EXPECT_EQ(ParseSecurityContext(text).status().code(), Code::kDataLoss) << text;
  }
}

TEST(SecurityContextTest, AProcessLikeTheRequestsIsAllowed) {
  EXPECT_TRUE(CheckCredentials(Restricted(), RestrictedTask()).ok());
}

TEST(SecurityContextTest, AProcessThatGaveUpPrivilegesIsAllowed) {
  SecurityContext context;
  context.bounding = context.initial = kSetuid | kSetgid | kNetRaw;
  TaskCredentials task = RestrictedTask();

  EXPECT_TRUE(CheckCredentials(context, task).ok());
}

TEST(SecurityContextTest, ACapabilityBeyondTheBoundingSetIsRefusedByName) {
  for (uint64_t CapabilitySets::*set :
       {&CapabilitySets::inheritable, &CapabilitySets::permitted, &CapabilitySets::effective,
        &CapabilitySets::bounding, &CapabilitySets::ambient}) {
    TaskCredentials task = RestrictedTask();
    task.capabilities.*set = kSysAdmin;

    const Status status = CheckCredentials(Restricted(), task);

    EXPECT_EQ(status.code(), Code::kPermissionDenied);
    EXPECT_THAT(status.message(), HasSubstr("CAP_SYS_ADMIN"));
  }
}

TEST(SecurityContextTest, AProcessWithoutNoNewPrivsIsRefusedWhereTheRequestAsksForIt) {
  TaskCredentials task = RestrictedTask();
  task.no_new_privs = false;

  EXPECT_THAT(CheckCredentials(Restricted(), task).message(), HasSubstr("no_new_privs"));
}

TEST(SecurityContextTest, AProcessWithoutSeccompIsRefusedWhereTheRequestAsksForIt) {
  TaskCredentials task = RestrictedTask();
  task.seccomp_mode = 0;

  EXPECT_THAT(CheckCredentials(Restricted(), task).message(), HasSubstr("seccomp"));
}

TEST(SecurityContextTest, AnotherUserIsRefusedWhereNobodyCouldHaveBecomeIt) {
  TaskCredentials task = RestrictedTask();
  task.uids[1] = 0;

  EXPECT_THAT(CheckCredentials(Restricted(), task).message(), HasSubstr("the user 0"));
}

TEST(SecurityContextTest, AnotherUserIsAllowedWhereASetIdFileCouldGiveIt) {
  SecurityContext context = Restricted();
  context.no_new_privs = false;
  context.bounding = kSetuid;
  TaskCredentials task = RestrictedTask();
  task.uids[1] = 0;

  EXPECT_TRUE(CheckCredentials(context, task).ok());
}

TEST(SecurityContextTest, AnotherGroupIsRefusedUnlessTheRequestNamesIt) {
  TaskCredentials task = RestrictedTask();
  task.gids[0] = 2000;
  EXPECT_TRUE(CheckCredentials(Restricted(), task).ok());
  task.gids[0] = 3000;

  EXPECT_THAT(CheckCredentials(Restricted(), task).message(), HasSubstr("the group 3000"));
}

}  // namespace
}  // namespace cryopod::restore
