#include "agent/daemon/sockets/reader_socket.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>

#include "tests/unit/agent/daemon/sockets/agent_server_fixture.h"

namespace cryopod::daemon {
namespace {

using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;

struct stat StatOf(const std::string& path) {
  struct stat status {};
  EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
  return status;
}

// With a client at the readers' socket.
class ReaderServerTest : public test::AgentServerFixture {
 protected:
  ReaderServerTest() {
    // One that every Debian has, and that is not root's.
    config_.reader_group = "daemon";
  }
  void Start() {
    test::AgentServerFixture::Start();
    reader_ = std::make_unique<api::Client>(config_.reader_socket());
  }

  std::unique_ptr<api::Client> reader_;
};

TEST_F(ReaderServerTest, AReaderListsAsksForTheNodeAndForMetrics) {
  Start();
  ASSERT_THAT(test::MakeSampleArchive(config_.store_root(), "one", {"app"}), IsOk());

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const api::Listing listing, reader_->List("", Soon()));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const api::NodeInfo node, reader_->DescribeNode(Soon()));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::string metrics, reader_->Metrics(Soon()));

  EXPECT_THAT(listing.archives, SizeIs(1));
  EXPECT_FALSE(node.kernel.empty());
  EXPECT_THAT(metrics, HasSubstr("cryopod_pod_checkpoint_operations_total"));
}

TEST_F(ReaderServerTest, EverythingElseIsDeniedWithTheRoleAndTheSocketToUse) {
  Start();
  ASSERT_THAT(test::MakeSampleArchive(config_.store_root(), "one", {"app"}), IsOk());
  const auto denied = [&](const std::string& method) {
    return StatusIs(Code::kPermissionDenied,
                    AllOf(HasSubstr("role reader"), HasSubstr("not " + method),
                          HasSubstr(config_.agent_socket())));
  };
  api::RestoreRequest restore;
  restore.archive = "one";
  const UniqueFd nothing(::open("/dev/null", O_RDONLY | O_CLOEXEC));

  EXPECT_THAT(reader_->Checkpoint({.pod = "shop/web", .archive = "a"}, nullptr, Soon()),
              denied("Checkpoint"));
  EXPECT_THAT(reader_->Restore(restore, nullptr, Soon()), denied("Restore"));
  EXPECT_THAT(reader_->Wait("c-1", nullptr, Soon()), denied("Wait"));
  EXPECT_THAT(reader_->Cancel("c-1", Soon()), denied("Cancel"));
  EXPECT_THAT(reader_->Logs("c-1", nullptr, Soon()), denied("Logs"));
  EXPECT_THAT(reader_->Inspect("one", Soon()), denied("Inspect"));
  EXPECT_THAT(reader_->Verify("one", Soon()), denied("Verify"));
  EXPECT_THAT(reader_->Delete("one", Soon()), denied("Delete"));
  EXPECT_THAT(reader_->Export(
                  "one", "", [](std::string_view) { return Status(); }, Soon()),
              denied("Export"));
  EXPECT_THAT(reader_->Import("two", nothing.get(), Soon()), denied("Import"));

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const api::Listing listing, reader_->List("", Soon()));
  EXPECT_THAT(listing.archives, SizeIs(1));
}

TEST_F(ReaderServerTest, TheGroupMayOpenItAndPassTheFolderAndNobodyElse) {
  Start();
  const gid_t group = ::getgrnam("daemon")->gr_gid;

  const struct stat socket = StatOf(config_.reader_socket());
  const struct stat folder = StatOf(config_.run_dir);

  EXPECT_EQ(socket.st_mode & 07777, 0660u);
  EXPECT_EQ(socket.st_uid, 0u);
  EXPECT_EQ(socket.st_gid, group);
  EXPECT_EQ(folder.st_mode & 07777, 0710u);
  EXPECT_EQ(folder.st_gid, group);
  EXPECT_EQ(StatOf(config_.agent_socket()).st_mode & 07777, 0600u);
}

TEST_F(ReaderServerTest, WithoutTheGroupOnlyRootMayOpenIt) {
  config_.reader_group = "no-such-group";
  Start();

  const struct stat socket = StatOf(config_.reader_socket());

  EXPECT_EQ(socket.st_mode & 07777, 0600u);
  EXPECT_EQ(socket.st_gid, 0u);
  EXPECT_THAT(reader_->List("", Soon()), IsOk());
}

TEST_F(ReaderServerTest, AFolderInItsPlaceIsNamed) {
  std::filesystem::create_directories(config_.reader_socket() + "/in-the-way");

  EXPECT_THAT(ServeAgent(agent_, checkpoints_, pods_),
              StatusIs(Code::kUnavailable, HasSubstr(config_.reader_socket())));
}

}  // namespace
}  // namespace cryopod::daemon
