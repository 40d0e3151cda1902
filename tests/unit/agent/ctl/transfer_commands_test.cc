#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

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

  // Names in the output directory, which the test made for itself.
  size_t CountFiles(const std::string& directory) const {
    size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(directory)) {
      ++count;
    }
    return count;
  }

  std::string bytes_;
};

TEST_F(TransferCommandsTest, ExportWritesAFileThatOnlyItsOwnerReads) {
  const Outcome outcome = RunCtl({"export", "web1", "-o", Path("web.tar")});

  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(test::ReadText(Path("web.tar")), bytes_);
  EXPECT_THAT(outcome.out, HasSubstr("wrote " + Path("web.tar")));
  struct stat info = {};
  ASSERT_EQ(::stat(Path("web.tar").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  EXPECT_EQ(server_.exported_container(), "");
}

TEST_F(TransferCommandsTest, ExportOfOneContainerAsksForIt) {
  const Outcome outcome =
      RunCtl({"export", "web1", "--container", "db", "-o", Path("db.tar"), "--output", "json"});

  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(server_.exported_container(), "db");
  EXPECT_EQ(json::parse(outcome.out)["size_bytes"], bytes_.size());
}

TEST_F(TransferCommandsTest, ExportWritesToStandardOutputAndSaysNothingElse) {
  const Outcome outcome = RunCtl({"export", "web1", "-o", "-"});

  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, bytes_);
  EXPECT_EQ(outcome.err, "");
}

TEST_F(TransferCommandsTest, ExportNeverReplacesAFileUnlessForced) {
  test::WriteText(Path("web.tar"), "mine");

  const Outcome refused = RunCtl({"export", "web1", "-o", Path("web.tar")});
  EXPECT_EQ(refused.exit_code, 4);
  EXPECT_THAT(refused.err, HasSubstr(Path("web.tar")));
  EXPECT_THAT(refused.err, HasSubstr("--force"));
  EXPECT_EQ(test::ReadText(Path("web.tar")), "mine");

  const Outcome forced = RunCtl({"export", "web1", "-o", Path("web.tar"), "--force"});

  EXPECT_EQ(forced.exit_code, 0) << forced.err;
  EXPECT_EQ(test::ReadText(Path("web.tar")), bytes_);
}

TEST_F(TransferCommandsTest, AnExportThatBreaksOffLeavesNothing) {
  server_.FailAtEnd("Export", Status(Code::kDataLoss, "blob sha256:4f is damaged"));
  std::filesystem::create_directory(Path("d"));

  const Outcome outcome = RunCtl({"export", "web1", "-o", Path("d/web.tar")});

  EXPECT_EQ(outcome.exit_code, 6);
  EXPECT_THAT(outcome.err, HasSubstr("export web1: blob sha256:4f is damaged"));
  EXPECT_EQ(CountFiles(Path("d")), 0u);
}

TEST_F(TransferCommandsTest, AForcedExportThatBreaksOffLeavesTheOldFile) {
  server_.FailAtEnd("Export", Status(Code::kDataLoss, "damaged"));
  std::filesystem::create_directory(Path("d"));
  test::WriteText(Path("d/web.tar"), "mine");

  const Outcome outcome = RunCtl({"export", "web1", "-o", Path("d/web.tar"), "--force"});

  EXPECT_EQ(outcome.exit_code, 6);
  EXPECT_EQ(test::ReadText(Path("d/web.tar")), "mine");
  EXPECT_EQ(CountFiles(Path("d")), 1u);
}

TEST_F(TransferCommandsTest, ExportToAFullDeviceIsOutOfSpace) {
  const UniqueFd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  const UniqueFd err(::open(Path("err").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  terminal::Console console;
  console.out = full.get();
  console.err = err.get();

  const ExitCode exit_code = ctl::Run({"--socket", socket_, "export", "web1", "-o", "-"}, console);

  EXPECT_EQ(exit_code, ExitCode::kNoSpace);
  EXPECT_THAT(test::ReadText(Path("err")), HasSubstr("No space left"));
}

TEST_F(TransferCommandsTest, ExportRefusesToWriteATarToATerminal) {
  const UniqueFd err(::open(Path("err").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  terminal::Console console;
  console.err = err.get();
  console.out_is_terminal = true;

  const ExitCode exit_code = ctl::Run({"--socket", socket_, "export", "web1", "-o", "-"}, console);

  EXPECT_EQ(exit_code, ExitCode::kUsage);
  EXPECT_THAT(test::ReadText(Path("err")), HasSubstr("-o FILE"));
  EXPECT_TRUE(server_.calls().empty());
}

TEST_F(TransferCommandsTest, ImportNamesTheArchiveAfterItsFile) {
  test::WriteText(Path("cart.tar"), "tar bytes");

  const Outcome outcome = RunCtl({"import", Path("cart.tar")});

  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(server_.archive_bytes("cart"), "tar bytes");
  EXPECT_THAT(outcome.out, HasSubstr("archive     cart\n"));
}

TEST_F(TransferCommandsTest, ImportTakesANameAndStandardInput) {
  const Outcome outcome =
      RunCtl({"import", "-", "--archive", "cart", "--output", "json"}, "from stdin");

  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(server_.archive_bytes("cart"), "from stdin");
  EXPECT_EQ(json::parse(outcome.out)["name"], "cart");
}

TEST_F(TransferCommandsTest, ImportUnderATakenNameIsRefused) {
  test::WriteText(Path("web1.tar"), "other bytes");

  const Outcome outcome = RunCtl({"import", Path("web1.tar")});

  EXPECT_EQ(outcome.exit_code, 4);
  EXPECT_THAT(outcome.err, HasSubstr(Path("web1.tar")));
  EXPECT_EQ(server_.archive_bytes("web1"), bytes_);
}

TEST_F(TransferCommandsTest, ImportOfAFileThatIsNotThereIsWrongUse) {
  const Outcome outcome = RunCtl({"import", Path("gone.tar")});

  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.err, HasSubstr(Path("gone.tar")));
  EXPECT_TRUE(server_.calls().empty());
}

}  // namespace
}  // namespace cryopod::ctl
