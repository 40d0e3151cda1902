#include "agent/criu/images/judge_filters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/seccomp.h>
#include <sys/resource.h>

#include <string>
#include <vector>

#include "agent/criu/images/judge_images.h"
#include "image_bytes.h"

namespace cryopod::criu {
namespace {

using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using test::Bytes;
using test::ImageOf;
using test::Process;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint32_t kTsync = SECCOMP_FILTER_FLAG_TSYNC;
constexpr uint32_t kLog = SECCOMP_FILTER_FLAG_LOG;
constexpr uint32_t kStrict = SECCOMP_MODE_STRICT;

// Images of a container of root, whose processes have the filters that a test gives them.
class JudgeFiltersTest : public test::ImagesTest {
 protected:
  JudgeFiltersTest() {
    rules_.bounding = rules_.permitted = rules_.inheritable = ~uint64_t{0};
    rules_.hard_limits.assign(RLIM_NLIMITS, RLIM_INFINITY);
    rules_.seccomp_filters = {live_};
    Write("inventory.img",
          ImageOf(kInventoryMagic, std::vector{Inventory()}).substr(sizeof(uint32_t)));
    Write("files.img", ImageOf(kFilesMagic, std::vector<wire::file_entry>()));
    WriteTree({Process(1, 0, {1})});
  }

  static wire::inventory_entry Inventory() {
    wire::inventory_entry inventory;
    inventory.set_img_version(2);
    return inventory;
  }
  void WriteTree(const std::vector<wire::pstree_entry>& processes) {
    Write("pstree.img", ImageOf(test::kPstreeMagic, processes));
  }
  // A thread whose chain begins with `oldest`; without one it has no filter.
  void WriteThread(int thread, std::optional<uint32_t> oldest, uint32_t mode_without = 0) {
    wire::core_entry core;
    core.set_mtype(1);
    wire::thread_core_entry* const state = core.mutable_thread_core();
    state->mutable_creds()->set_secbits(0);
    for (const auto set :
         {&wire::creds_entry::set_uid, &wire::creds_entry::set_euid, &wire::creds_entry::set_suid,
          &wire::creds_entry::set_fsuid, &wire::creds_entry::set_gid, &wire::creds_entry::set_egid,
          &wire::creds_entry::set_sgid, &wire::creds_entry::set_fsgid}) {
      (state->mutable_creds()->*set)(0);
    }
    state->set_seccomp_mode(oldest ? SECCOMP_MODE_FILTER : mode_without);
    if (oldest) state->set_seccomp_filter(*oldest);
    Write(CoreImage(thread), ImageOf(kCoreMagic, std::vector{core}));
  }
  // A filter of the archive, before `newer` in its chain. Returns its place.
  uint32_t Add(const std::string& bytes, std::optional<uint32_t> newer = {}, uint32_t flags = 0) {
    wire::seccomp_filter* const filter = filters_.add_seccomp_filters();
    filter->set_filter(bytes);
    filter->set_flags(flags);
    if (newer) filter->set_prev(*newer);
    return static_cast<uint32_t>(filters_.seccomp_filters_size()) - 1;
  }
  void JudgeAll() {
    Write("seccomp.img", ImageOf(kSeccompMagic, std::vector{filters_}));
    ASSERT_THAT(JudgeImages(dir_.get(), rules_), IsOk());
    const std::string judged = Text("seccomp.img");
    ASSERT_THAT(JudgeImages(dir_.get(), rules_), IsOk());
    EXPECT_EQ(Text("seccomp.img"), judged) << "the second time";
  }

  // The chain of a thread, the oldest first, as CRIU will set it: bytes of each filter.
  std::vector<std::string> ChainOf(int thread, uint32_t* flags_of_all = nullptr) const {
    const auto state = Entries<wire::core_entry>(CoreImage(thread), kCoreMagic).at(0).thread_core();
    if (state.seccomp_mode() != SECCOMP_MODE_FILTER) return {};
    const auto all = Entries<wire::seccomp_entry>("seccomp.img", kSeccompMagic).at(0);
    std::vector<std::string> chain;
    uint32_t flags = ~0u;
    for (uint32_t at = state.seccomp_filter();;) {
      const wire::seccomp_filter& filter = all.seccomp_filters(static_cast<int>(at));
      chain.push_back(filter.filter());
      flags &= filter.flags();
      if (!filter.has_prev()) break;
      at = filter.prev();
    }
    if (flags_of_all != nullptr) *flags_of_all = flags;
    return chain;
  }

  const SeccompFilter live_{{1, 2}, 0};
  LiveRules rules_;
  wire::seccomp_entry filters_;
};

TEST_F(JudgeFiltersTest, TheLiveFilterIsTheOldestOfEveryChain) {
  WriteTree({Process(1, 0, {1}), Process(7, 1, {7})});
  WriteThread(1, Add("old of 1", Add("new of 1")));
  WriteThread(7, Add("of 7"));

  JudgeAll();

  EXPECT_THAT(ChainOf(1), ElementsAre(Bytes(live_), "old of 1", "new of 1"));
  EXPECT_THAT(ChainOf(7), ElementsAre(Bytes(live_), "of 7"));
}

TEST_F(JudgeFiltersTest, WhereTheLiveFilterIsInTheChainAlreadyNothingIsAdded) {
  WriteTree({Process(1, 0, {1}), Process(7, 1, {7})});
  WriteThread(1, Add(Bytes(live_), Add("of the application")));
  WriteThread(7, Add("of another node", Add(Bytes(live_))));

  JudgeAll();

  EXPECT_THAT(ChainOf(1), ElementsAre(Bytes(live_), "of the application"));
  EXPECT_THAT(ChainOf(7), ElementsAre("of another node", Bytes(live_)));
  EXPECT_EQ(Entries<wire::seccomp_entry>("seccomp.img", kSeccompMagic).at(0).seccomp_filters_size(),
            4);
}

TEST_F(JudgeFiltersTest, TheFilterOfTheArchivesRuntimeGoesForTheLiveOne) {
  rules_.replaces_filter = true;
  WriteTree({Process(1, 0, {1}), Process(7, 1, {7}), Process(8, 1, {8}), Process(9, 1, {9})});
  WriteThread(1, Add("another program of the profile", Add("of the application")));
  WriteThread(7, Add("another program of the profile"));
  WriteThread(8, Add(Bytes(live_), Add("of the application")));
  WriteThread(9, Add("another program of the profile", Add(Bytes(live_), Add("its own"))));

  JudgeAll();

  EXPECT_THAT(ChainOf(1), ElementsAre(Bytes(live_), "of the application"));
  EXPECT_THAT(ChainOf(7), ElementsAre(Bytes(live_)));
  EXPECT_THAT(ChainOf(8), ElementsAre(Bytes(live_), "of the application"));
  EXPECT_THAT(ChainOf(9), ElementsAre(Bytes(live_), "its own"));
}

TEST_F(JudgeFiltersTest, TasksWithoutAFilterGetTheLiveOneForAllTheirThreadsAtOnce) {
  WriteTree({Process(1, 0, {1, 2}), Process(7, 1, {7})});
  for (const int thread : {1, 2, 7}) WriteThread(thread, {});

  JudgeAll();

  uint32_t flags = 0;
  EXPECT_THAT(ChainOf(1, &flags), ElementsAre(Bytes(live_)));
  EXPECT_EQ(flags, kTsync);
  EXPECT_THAT(ChainOf(2), IsEmpty()) << "CRIU sets the first thread's for it";
  EXPECT_THAT(ChainOf(7), ElementsAre(Bytes(live_)));
}

TEST_F(JudgeFiltersTest, ThreadsThatShareTheirChainGoOnSharingIt) {
  WriteTree({Process(1, 0, {1, 2})});
  WriteThread(1, Add("shared", {}, kTsync));
  WriteThread(2, {});

  JudgeAll();

  uint32_t flags = 0;
  EXPECT_THAT(ChainOf(1, &flags), ElementsAre(Bytes(live_), "shared"));
  EXPECT_EQ(flags, kTsync);
  EXPECT_THAT(ChainOf(2), IsEmpty());
}

TEST_F(JudgeFiltersTest, ThreadsThatShareNoneGetTheLiveOneEach) {
  for (const bool first_has_one : {false, true}) {
    filters_.Clear();
    WriteTree({Process(1, 0, {1, 2, 3})});
    const uint32_t own = Add("its own");
    WriteThread(1, first_has_one ? std::optional(own) : std::nullopt);
    WriteThread(2, first_has_one ? std::nullopt : std::optional(own));
    WriteThread(3, {});

    JudgeAll();

    for (const int thread : {1, 2, 3}) {
      uint32_t flags = 0;
      const std::vector<std::string> chain = ChainOf(thread, &flags);
      ASSERT_FALSE(chain.empty()) << thread;
      EXPECT_EQ(chain.front(), Bytes(live_)) << thread;
      EXPECT_EQ(chain.size(), (thread == 1) == first_has_one && thread != 3 ? 2u : 1u) << thread;
      EXPECT_EQ(flags & kTsync, 0u) << "the kernel refuses it where another thread has its own";
    }
  }
}

TEST_F(JudgeFiltersTest, SeveralLiveFiltersKeepTheirOrderAndOnlyTheMissingAreAdded) {
  const SeccompFilter first{{3}, 0};
  const SeccompFilter last{{5}, kLog};
  rules_.seccomp_filters = {first, live_, last};
  WriteTree({Process(1, 0, {1}), Process(7, 1, {7})});
  WriteThread(1, Add(Bytes(live_)));
  WriteThread(7, {});

  JudgeAll();

  EXPECT_THAT(ChainOf(1), ElementsAre(Bytes(first), Bytes(last), Bytes(live_)));
  EXPECT_THAT(ChainOf(7), ElementsAre(Bytes(first), Bytes(live_), Bytes(last)));
}

TEST_F(JudgeFiltersTest, WhatTheLiveFilterLogsIsLoggedAfterwardsToo) {
  rules_.seccomp_filters = {{{1, 2}, kLog}};
  WriteThread(1, Add(Bytes(live_), {}, 0));

  JudgeAll();

  uint32_t flags = 0;
  EXPECT_THAT(ChainOf(1, &flags), ElementsAre(Bytes(live_)));
  EXPECT_EQ(flags, kLog);
}

TEST_F(JudgeFiltersTest, AStrictTaskStaysStrict) {
  WriteThread(1, {}, kStrict);

  JudgeAll();

  EXPECT_EQ(Entries<wire::core_entry>(CoreImage(1), kCoreMagic).at(0).thread_core().seccomp_mode(),
            kStrict);
}

TEST_F(JudgeFiltersTest, AModeThatIsNotKnownIsRefused) {
  WriteThread(1, {}, 3);
  Write("seccomp.img", ImageOf(kSeccompMagic, std::vector{filters_}));

  EXPECT_THAT(JudgeImages(dir_.get(), rules_), StatusIs(Code::kDataLoss, HasSubstr("mode")));
}

TEST_F(JudgeFiltersTest, WithoutALiveFilterTasksKeepWhatTheyHave) {
  rules_.seccomp_filters.clear();
  rules_.replaces_filter = true;
  WriteTree({Process(1, 0, {1}), Process(7, 1, {7})});
  WriteThread(1, Add("its own"));
  WriteThread(7, {});

  JudgeAll();

  EXPECT_THAT(ChainOf(1), ElementsAre("its own"));
  EXPECT_THAT(ChainOf(7), IsEmpty());
}

}  // namespace
}  // namespace cryopod::criu
