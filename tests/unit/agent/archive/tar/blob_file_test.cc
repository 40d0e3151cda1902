#include "agent/archive/tar/blob_file.h"

#include <sys/resource.h>

#include <csignal>

#include "tests/unit/agent/archive/archive_fixture.h"

namespace cryopod::archive {
namespace {

using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using test::Noise;
using test::OpenPath;
using test::ReadFiles;
using test::TempDirectory;

class BlobFileTest : public ::testing::Test {
 protected:
  TempDirectory temp_;
  UniqueFd dir_ = OpenPath(temp_.path());
};

TEST_F(BlobFileTest, IsNamedByItsDigestAndHoldsItsBytes) {
  Result<std::unique_ptr<BlobFile>> blob = BlobFile::Create(dir_.get(), ".blob-0");
  ASSERT_THAT(blob, IsOk());
  const std::string bytes = Noise(5'000'000, 11);
  for (size_t at = 0; at < bytes.size(); at += 700'000) {
    ASSERT_THAT((*blob)->Append(bytes.substr(at, 700'000)), IsOk());
  }

  const Result<HashedFile> written = (*blob)->Commit();

  ASSERT_THAT(written, IsOk());
  EXPECT_EQ(written->digest, DigestOf(bytes));
  EXPECT_EQ(written->size_bytes, bytes.size());
  const auto files = ReadFiles(temp_.path());
  ASSERT_EQ(files.size(), 1u);
  EXPECT_EQ("sha256:" + files.begin()->first, written->digest);
  EXPECT_TRUE(files.begin()->second == bytes);
}

TEST_F(BlobFileTest, IsReadableByItsOwnerAlone) {
  ASSERT_THAT(WriteBlob(dir_.get(), ".blob-0", "secret"), IsOk());

  for (const auto& entry : std::filesystem::directory_iterator(temp_.path())) {
    EXPECT_EQ(entry.status().permissions(), std::filesystem::perms(0600));
  }
}

TEST_F(BlobFileTest, LeavesNothingWithoutCommit) {
  {
    Result<std::unique_ptr<BlobFile>> blob = BlobFile::Create(dir_.get(), ".blob-0");
    ASSERT_THAT(blob, IsOk());
    ASSERT_THAT((*blob)->Append("bytes"), IsOk());
  }

  EXPECT_TRUE(ReadFiles(temp_.path()).empty());
}

TEST_F(BlobFileTest, TheSameBytesTwiceAreOneBlob) {
  ASSERT_THAT(WriteBlob(dir_.get(), ".blob-0", "equal"), IsOk());
  ASSERT_THAT(WriteBlob(dir_.get(), ".blob-1", "equal"), IsOk());

  EXPECT_EQ(ReadFiles(temp_.path()).size(), 1u);
}

TEST_F(BlobFileTest, AnEmptyBlobIsABlob) {
  const Result<HashedFile> written = WriteBlob(dir_.get(), ".blob-0", "");

  ASSERT_THAT(written, IsOk());
  EXPECT_EQ(written->size_bytes, 0u);
}

TEST_F(BlobFileTest, AFailedWriteIsReportedAndLeavesNothing) {
  // The limit of the process stands for a full disk.
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit small = old;
  small.rlim_cur = 100'000;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  Status status;
  {
    Result<std::unique_ptr<BlobFile>> blob = BlobFile::Create(dir_.get(), ".blob-0");
    ASSERT_THAT(blob, IsOk());

    for (int i = 0; i < 50 && status.ok(); ++i) status = (*blob)->Append(std::string(50'000, 'x'));
    if (status.ok()) status = (*blob)->Commit().status();
  }
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old), 0);

  EXPECT_FALSE(status.ok());
  EXPECT_TRUE(ReadFiles(temp_.path()).empty());
}

}  // namespace
}  // namespace cryopod::archive
