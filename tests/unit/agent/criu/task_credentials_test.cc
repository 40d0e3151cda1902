#include "agent/criu/task_credentials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "agent/criu/proto/images.pb.h"
#include "agent/os/file.h"
#include "image_bytes.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::criu {
namespace {

using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using cryopod::test::WriteText;
using test::Entry;
using test::Number;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

void SetCapabilities(wire::creds_entry* creds, uint32_t low, uint32_t high) {
  for (const uint32_t word : {low, high}) {
    creds->add_cap_inh(word);
    creds->add_cap_prm(word);
    creds->add_cap_eff(word);
    creds->add_cap_bnd(word);
  }
}

wire::core_entry Core() {
  wire::core_entry core;
  core.set_mtype(wire::core_entry::X86_64);
  wire::thread_core_entry* thread = core.mutable_thread_core();
  thread->set_futex_rla(0);
  thread->set_futex_rla_len(0);
  thread->set_seccomp_mode(wire::filter);
  wire::creds_entry* creds = thread->mutable_creds();
  creds->set_uid(1);
  creds->set_gid(2);
  creds->set_euid(3);
  creds->set_egid(4);
  creds->set_suid(5);
  creds->set_sgid(6);
  creds->set_fsuid(7);
  creds->set_fsgid(8);
  creds->set_secbits(9);
  creds->set_no_new_privs(1);
  creds->add_groups(10);
  creds->add_groups(11);
  creds->set_lsm_profile("a_t");
  SetCapabilities(creds, 0x20, 0x1ff);
  return core;
}

wire::creds_entry* CredsOf(wire::core_entry* core) {
  return core->mutable_thread_core()->mutable_creds();
}

std::string Image(const wire::core_entry& core) {
  return Number(test::kImageMagic) + Number(test::kCoreMagic) + Entry(core);
}

std::string PstreeOf(std::initializer_list<uint32_t> threads) {
  wire::pstree_entry entry;
  entry.set_pid(*threads.begin());
  entry.set_ppid(0);
  entry.set_pgid(1);
  entry.set_sid(1);
  for (const uint32_t thread : threads) entry.add_threads(thread);
  return Number(test::kImageMagic) + Number(test::kPstreeMagic) + Entry(entry);
}

TEST(ParseCoreTest, HoldsEveryId) {
  const Result<std::optional<TaskCredentials>> task = ParseCore(Image(Core()));

  ASSERT_THAT(task, IsOk());
  ASSERT_TRUE(task->has_value());
  EXPECT_EQ((*task)->uid, 1u);
  EXPECT_EQ((*task)->gid, 2u);
  EXPECT_EQ((*task)->effective_uid, 3u);
  EXPECT_EQ((*task)->effective_gid, 4u);
  EXPECT_EQ((*task)->saved_uid, 5u);
  EXPECT_EQ((*task)->saved_gid, 6u);
  EXPECT_EQ((*task)->file_system_uid, 7u);
  EXPECT_EQ((*task)->file_system_gid, 8u);
  EXPECT_THAT((*task)->groups, ElementsAre(10, 11));
}

TEST(ParseCoreTest, HoldsRightsAndRestrictions) {
  const Result<std::optional<TaskCredentials>> task = ParseCore(Image(Core()));

  ASSERT_THAT(task, IsOk());
  ASSERT_TRUE(task->has_value());
  EXPECT_EQ((*task)->permitted, 0x1ff00000020u);
  EXPECT_EQ((*task)->effective, 0x1ff00000020u);
  EXPECT_EQ((*task)->inheritable, 0x1ff00000020u);
  EXPECT_EQ((*task)->bounding, 0x1ff00000020u);
  EXPECT_EQ((*task)->ambient, 0u);
  EXPECT_EQ((*task)->secure_bits, 9u);
  EXPECT_TRUE((*task)->no_new_privileges);
  EXPECT_EQ((*task)->seccomp, SeccompMode::kFilter);
  EXPECT_EQ((*task)->lsm_profile, "a_t");
}

TEST(ParseCoreTest, RestrictionsThatAreNotMentionedAreOff) {
  wire::core_entry core = Core();
  core.mutable_thread_core()->clear_seccomp_mode();
  CredsOf(&core)->clear_no_new_privs();

  const Result<std::optional<TaskCredentials>> task = ParseCore(Image(core));

  ASSERT_THAT(task, IsOk());
  EXPECT_EQ((*task)->seccomp, SeccompMode::kDisabled);
  EXPECT_FALSE((*task)->no_new_privileges);
}

TEST(ParseCoreTest, TheOldPlaceOfTheSeccompModeWinsAsInARestore) {
  wire::core_entry core = Core();
  wire::task_core_entry* task_entry = core.mutable_tc();
  task_entry->set_task_state(1);
  task_entry->set_exit_code(0);
  task_entry->set_personality(0);
  task_entry->set_flags(0);
  task_entry->set_blk_sigset(0);
  task_entry->set_comm("x");
  task_entry->set_old_seccomp_mode(wire::disabled);

  const Result<std::optional<TaskCredentials>> task = ParseCore(Image(core));

  ASSERT_THAT(task, IsOk());
  EXPECT_EQ((*task)->seccomp, SeccompMode::kDisabled);
}

TEST(ParseCoreTest, TheAmbientSetIsReadWhereItIs) {
  wire::core_entry core = Core();
  CredsOf(&core)->add_cap_amb(0x400);
  CredsOf(&core)->add_cap_amb(0);

  const Result<std::optional<TaskCredentials>> task = ParseCore(Image(core));

  ASSERT_THAT(task, IsOk());
  EXPECT_EQ((*task)->ambient, 0x400u);
}

TEST(ParseCoreTest, ASetOfAnotherSizeIsRefused) {
  wire::core_entry longer = Core();
  CredsOf(&longer)->add_cap_prm(1);
  wire::core_entry none = Core();
  CredsOf(&none)->clear_cap_bnd();

  EXPECT_THAT(ParseCore(Image(longer)), StatusIs(Code::kDataLoss));
  EXPECT_THAT(ParseCore(Image(none)), StatusIs(Code::kDataLoss));
}

TEST(ParseCoreTest, ATaskWithoutCredentialsIsRefused) {
  wire::core_entry core = Core();
  core.mutable_thread_core()->clear_creds();

  EXPECT_THAT(ParseCore(Image(core)), StatusIs(Code::kDataLoss, HasSubstr("no credentials")));
}

TEST(ParseCoreTest, AZombieHasNone) {
  wire::core_entry core;
  core.set_mtype(wire::core_entry::X86_64);
  wire::task_core_entry* task_entry = core.mutable_tc();
  task_entry->set_task_state(2);
  task_entry->set_exit_code(0);
  task_entry->set_personality(0);
  task_entry->set_flags(0);
  task_entry->set_blk_sigset(0);
  task_entry->set_comm("x");

  const Result<std::optional<TaskCredentials>> task = ParseCore(Image(core));

  ASSERT_THAT(task, IsOk());
  EXPECT_FALSE(task->has_value());
}

TEST(ParseCoreTest, WhatStandsBehindTheTaskIsRefused) {
  EXPECT_THAT(ParseCore(Image(Core()) + Entry(Core())), StatusIs(Code::kDataLoss));
  EXPECT_THAT(ParseCore(Image(Core()) + "x"), StatusIs(Code::kDataLoss));
}

TEST(ParseCoreTest, AnImageThatIsCutAnywhereIsRefused) {
  const std::string whole = Image(Core());

  for (size_t length = 0; length < whole.size(); ++length) {
    EXPECT_THAT(ParseCore(whole.substr(0, length)), StatusIs(Code::kDataLoss)) << length;
  }
}

class ReadCredentialsTest : public ::testing::Test {
 protected:
  Result<std::vector<TaskCredentials>> Read() {
    CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd dir, OpenDirectory(images_.path()));
    return ReadCredentials(dir.get());
  }

  cryopod::test::TempDirectory images_;
};

TEST_F(ReadCredentialsTest, ReadsThoseOfEveryThread) {
  WriteText(images_.path() / "pstree.img", PstreeOf({1, 7}));
  wire::core_entry other = Core();
  CredsOf(&other)->set_uid(1000);
  WriteText(images_.path() / "core-1.img", Image(Core()));
  WriteText(images_.path() / "core-7.img", Image(other));

  const Result<std::vector<TaskCredentials>> tasks = Read();

  ASSERT_THAT(tasks, IsOk());
  ASSERT_EQ(tasks->size(), 2u);
  EXPECT_EQ(tasks->at(0).tid, 1);
  EXPECT_EQ(tasks->at(1).tid, 7);
  EXPECT_EQ(tasks->at(1).uid, 1000u);
}

TEST_F(ReadCredentialsTest, AThreadWithoutAnImageIsAnErrorAndNotAnOmission) {
  WriteText(images_.path() / "pstree.img", PstreeOf({1, 7}));
  WriteText(images_.path() / "core-1.img", Image(Core()));

  EXPECT_THAT(Read(), StatusIs(Code::kDataLoss, HasSubstr("core-7.img")));
}

TEST_F(ReadCredentialsTest, ABrokenImageIsNamed) {
  WriteText(images_.path() / "pstree.img", PstreeOf({1}));
  WriteText(images_.path() / "core-1.img", "broken");

  EXPECT_THAT(Read(), StatusIs(Code::kDataLoss, HasSubstr("core-1.img")));
}

}  // namespace
}  // namespace cryopod::criu
