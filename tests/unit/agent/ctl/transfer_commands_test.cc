#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>

#include "tests/unit/agent/ctl/ctl_fixture.h"

namespace cryopod::ctl {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class TransferCommandsTest : public test::CtlFixture {
 protected:
  TransferCommandsTest() {
    for (int i = 0; i < 50'000; ++i) bytes_ += std::to_string(i) + ",";
    server_.AddArchive(Archive("web1"), bytes_);
  }

  std::string bytes_;
};

TEST_F(TransferCommandsTest, ExportWritesAFileThatOnlyItsOwnerReads) {
  const Outcome outcome = RunCtl({"export", "web1", "--file", Path("web.tar")});

  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(test::ReadText(Path("web.tar")), bytes_);
  EXPECT_THAT(outcome.out, HasSubstr("wrote " + Path("web.tar")));
  struct stat info = {};
  ASSERT_EQ(::stat(Path("web.tar").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  EXPECT_EQ(server_.exported_container(), "");
}

TEST_F(TransferCommandsTest, ExportOfOneContainerAsksForIt) {
  EXPECT_EQ(JsonOf({"export", "web1", "--container", "db", "--file", Path("db.tar")})["size_bytes"],
            bytes_.size());
  EXPECT_EQ(server_.exported_container(), "db");
}

TEST_F(TransferCommandsTest, ExportWritesToStandardOutputAndSaysNothingElse) {
  const Outcome outcome = RunCtl({"export", "web1", "--file", "-"});

  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, bytes_);
  EXPECT_EQ(outcome.err, "");
}

TEST_F(TransferCommandsTest, ExportNeverReplacesAFileUnlessForced) {
  test::WriteText(Path("web.tar"), "mine");

  const Outcome refused = RunCtl({"export", "web1", "--file", Path("web.tar")});
  EXPECT_EQ(refused.exit_code, 4);
  EXPECT_THAT(refused.err, HasSubstr(Path("web.tar")));
  EXPECT_THAT(refused.err, HasSubstr("--force"));
  EXPECT_EQ(test::ReadText(Path("web.tar")), "mine");

  const Outcome forced = RunCtl({"export", "web1", "--file", Path("web.tar"), "--force"});

  EXPECT_EQ(forced.exit_code, 0) << forced.err;
  EXPECT_EQ(test::ReadText(Path("web.tar")), bytes_);
}

TEST_F(TransferCommandsTest, AnExportThatBreaksOffLeavesNothingButTheOldFile) {
  const std::string file = Path("d/web.tar");
  std::filesystem::create_directory(Path("d"));
  server_.FailAtEnd("Export", Status(Code::kDataLoss, "blob sha256:4f is damaged"));

  const Outcome outcome = RunCtl({"export", "web1", "--file", file});
  EXPECT_EQ(outcome.exit_code, 6);
  EXPECT_THAT(outcome.err, HasSubstr("export web1: blob sha256:4f is damaged"));
  EXPECT_TRUE(std::filesystem::is_empty(Path("d")));

  test::WriteText(file, "mine");
  EXPECT_EQ(RunCtl({"export", "web1", "--file", file, "--force"}).exit_code, 6);
  EXPECT_EQ(test::ReadText(file), "mine");
  std::filesystem::remove(file);
  EXPECT_TRUE(std::filesystem::is_empty(Path("d")));
}

TEST_F(TransferCommandsTest, ExportRefusesToWriteATarToATerminal) {
  const Outcome outcome = RunCtl({"export", "web1", "--file", "-"}, "", "/dev/null", true);

  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("--file FILE"));
  EXPECT_TRUE(server_.calls().empty());
}

TEST_F(TransferCommandsTest, ImportTakesAFileOrStandardInput) {
  test::WriteText(Path("cart.tar"), "tar bytes");
  EXPECT_THAT(RunCtl({"import", Path("cart.tar")}).out, HasSubstr("archive     cart\n"));
  EXPECT_EQ(server_.archive_bytes("cart"), "tar bytes");

  const Outcome outcome =
      RunCtl({"import", "-", "--archive", "cart2", "--output", "json"}, "from stdin");
  EXPECT_EQ(json::parse(outcome.out)["name"], "cart2");
  EXPECT_EQ(server_.archive_bytes("cart2"), "from stdin");
}

TEST_F(TransferCommandsTest, ImportOfAnAbsentFileIsWrongUseAndATakenNameIsRefused) {
  const Outcome absent = RunCtl({"import", Path("gone.tar")});
  EXPECT_EQ(absent.exit_code, 2);
  EXPECT_THAT(absent.err, HasSubstr(Path("gone.tar")));
  EXPECT_TRUE(server_.calls().empty());

  test::WriteText(Path("web1.tar"), "other bytes");
  const Outcome taken = RunCtl({"import", Path("web1.tar")});
  EXPECT_EQ(taken.exit_code, 4);
  EXPECT_THAT(taken.err, HasSubstr(Path("web1.tar")));
  EXPECT_EQ(server_.archive_bytes("web1"), bytes_);
}

}  // namespace
}  // namespace cryopod::ctl
