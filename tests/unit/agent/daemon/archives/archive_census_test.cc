#include "agent/daemon/archives/archive_census.h"

#include "tests/unit/agent/daemon/daemon_fixture.h"

namespace cryopod::daemon {
namespace {

using cryopod::test::IsOk;
using metrics::StoreUsage;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class ArchiveCensusTest : public test::AgentFixture {
 protected:
  uint64_t MakeArchive(const std::string& name) const {
    const auto archive = test::MakeSampleArchive(config_.store_root(), name, {"app"});
    EXPECT_THAT(archive, IsOk());
    return archive->size_bytes();
  }
  StoreUsage Count() {
    Result<StoreUsage> usage = census_.Count();
    EXPECT_THAT(usage, IsOk());
    return usage.ok() ? *usage : StoreUsage();
  }
  ArchiveCensus census_{config_.store_root()};
};

TEST_F(ArchiveCensusTest, AnEmptyStoreHasNoNamespaceAndAFileSystem) {
  const StoreUsage usage = Count();

  EXPECT_THAT(usage.namespaces, IsEmpty());
  EXPECT_EQ(usage.damaged, 0u);
  EXPECT_GT(usage.free_bytes, 0u);
  EXPECT_GE(usage.file_system_bytes, usage.free_bytes);
}

TEST_F(ArchiveCensusTest, ArchivesAreCountedAndMeasuredByNamespace) {
  const uint64_t size_bytes = MakeArchive("a") + MakeArchive("b");

  const StoreUsage usage = Count();

  ASSERT_THAT(usage.namespaces, SizeIs(1));
  EXPECT_EQ(usage.namespaces[0].name, "shop");
  EXPECT_EQ(usage.namespaces[0].archives, 2u);
  EXPECT_EQ(usage.namespaces[0].size_bytes, size_bytes);
}

TEST_F(ArchiveCensusTest, WhatHasNotChangedIsNotOpenedAgain) {
  MakeArchive("a");
  const StoreUsage before = Count();
  // Nobody who opens the archive could read it now.
  std::filesystem::rename(config_.store_root() + "/a/blobs", config_.store_root() + "/a/away");

  const StoreUsage after = Count();

  ASSERT_THAT(after.namespaces, SizeIs(1));
  EXPECT_EQ(after.namespaces[0].size_bytes, before.namespaces[0].size_bytes);
  EXPECT_EQ(after.damaged, 0u);
}

TEST_F(ArchiveCensusTest, ADeletedArchiveIsForgottenAndOneInItsPlaceIsReadAnew) {
  MakeArchive("a");
  ASSERT_THAT(Count().namespaces, SizeIs(1));

  std::filesystem::remove_all(config_.store_root() + "/a");
  EXPECT_THAT(Count().namespaces, IsEmpty());

  const auto replaced = test::MakeSampleArchive(config_.store_root(), "a", {"app", "sidecar"});
  ASSERT_THAT(replaced, IsOk());
  const StoreUsage usage = Count();
  ASSERT_THAT(usage.namespaces, SizeIs(1));
  EXPECT_EQ(usage.namespaces[0].size_bytes, replaced->size_bytes());
}

TEST_F(ArchiveCensusTest, AnArchiveThatCannotBeReadIsCountedAsDamaged) {
  MakeArchive("a");
  MakeArchive("b");
  std::ofstream(config_.store_root() + "/b/index.json") << "rubbish";

  const StoreUsage usage = Count();

  ASSERT_THAT(usage.namespaces, SizeIs(1));
  EXPECT_EQ(usage.namespaces[0].archives, 1u);
  EXPECT_EQ(usage.damaged, 1u);
}

TEST_F(ArchiveCensusTest, AStoreThatCannotBeOpenedIsAnError) {
  EXPECT_FALSE(ArchiveCensus(config_.checkpoint_program() + "/x").Count().ok());
}

}  // namespace
}  // namespace cryopod::daemon
