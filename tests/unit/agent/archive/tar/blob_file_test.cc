#include "agent/archive/tar/blob_file.h"

#include <sys/resource.h>

#include <csignal>

#include "tests/unit/agent/archive/archive_fixture.h"

namespace cryopod::archive::test {
namespace {

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

  const Descriptor expected{"text/plain", DigestOf(bytes), bytes.size()};
  EXPECT_THAT((*blob)->Commit("text/plain"), IsOkAnd(expected));

  const std::map<std::string, std::string> files = {{DigestHex(expected.digest), bytes}};
  EXPECT_TRUE(ReadTree(temp_.path()) == files);
}

TEST_F(BlobFileTest, LeavesNothingWithoutCommit) {
  {
    Result<std::unique_ptr<BlobFile>> blob = BlobFile::Create(dir_.get(), ".blob-0");
    ASSERT_THAT(blob, IsOk());
    ASSERT_THAT((*blob)->Append("bytes"), IsOk());
  }

  EXPECT_TRUE(ReadTree(temp_.path()).empty());
}

TEST_F(BlobFileTest, TheSameBytesTwiceAreOneBlobEvenWhenThereAreNone) {
  const Descriptor expected{"text/plain", DigestOf(""), 0};

  EXPECT_THAT(WriteBlob(dir_.get(), ".blob-0", "", "text/plain"), IsOkAnd(expected));
  EXPECT_THAT(WriteBlob(dir_.get(), ".blob-1", "", "text/plain"), IsOkAnd(expected));

  EXPECT_EQ(ReadTree(temp_.path()).size(), 1u);
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
    if (status.ok()) status = (*blob)->Commit("text/plain").status();
  }
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old), 0);

  EXPECT_FALSE(status.ok());
  EXPECT_TRUE(ReadTree(temp_.path()).empty());
}

}  // namespace
}  // namespace cryopod::archive::test
