#include "agent/archive/oci/descriptor.h"

#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace cryopod::archive {
namespace {

using cryopod::test::IsOk;
using cryopod::test::StatusIs;

const std::string kHex(64, 'b');

TEST(CheckDigestTest, TakesSha256InLowerCase) {
  EXPECT_THAT(CheckDigest("sha256:" + kHex), IsOk());
}

TEST(CheckDigestTest, RefusesEverythingElse) {
  for (const std::string& digest :
       {std::string(), std::string("sha256:"), kHex, "sha256:" + kHex + "b",
        "sha256:" + kHex.substr(1), "SHA256:" + kHex, "sha256:" + std::string(64, 'B'),
        "sha512:" + kHex + kHex, "md5:" + kHex.substr(32), "sha256:" + kHex.substr(3) + "../",
        "sha256:" + kHex.substr(1) + std::string(1, '\0'), " sha256:" + kHex}) {
    EXPECT_THAT(CheckDigest(digest), StatusIs(Code::kInvalidArgument)) << digest;
  }
}

TEST(DigestHexTest, IsTheNameOfTheFile) { EXPECT_EQ(DigestHex("sha256:" + kHex), kHex); }

}  // namespace
}  // namespace cryopod::archive
