#include "agent/criu/swrk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/criu/proto/rpc.pb.h"
#include "agent/os/log.h"
#include "tests/support/status_matchers.h"

namespace cryopod::criu {
namespace {

using cryopod::test::StatusIs;
using ::testing::ElementsAre;

wire::criu_req Parse(const std::string& bytes) {
  wire::criu_req request;
  EXPECT_TRUE(request.ParseFromString(bytes));
  return request;
}

class DumpRequestTest : public ::testing::Test {
 protected:
  DumpRequestTest() {
    options_.pid = 4711;
    options_.root = "/run/c/rootfs";
    options_.freeze_cgroup = "/sys/fs/cgroup/freezer/c";
    options_.externals = {"net[4026532182]:extRootNetNS"};
    options_.external_mounts = {{"/etc/hosts", "/etc/hosts"}, {"/proc/keys", "/dev/null"}};
    options_.watched_paths = {"/config"};
  }
  wire::criu_opts Opts() const {
    const wire::criu_req request = Parse(DumpRequest(options_, 8, 9, 7));
    EXPECT_EQ(request.type(), wire::DUMP);
    return request.opts();
  }

  DumpOptions options_;
};

TEST_F(DumpRequestTest, OnlyWhoDebugsHearsMoreThanWarnings) {
  const LogLevel before = GetLogLevel();
  SetLogLevel(LogLevel::kDebug);
  const wire::criu_opts opts = Opts();
  SetLogLevel(before);

  EXPECT_EQ(opts.log_level(), 4);
}

TEST_F(DumpRequestTest, NamesWhatIsToBeDumpedAndWhereTo) {
  const wire::criu_opts opts = Opts();

  EXPECT_EQ(opts.pid(), 4711);
  EXPECT_EQ(opts.root(), "/run/c/rootfs");
  EXPECT_EQ(opts.images_dir_fd(), 8);
  EXPECT_EQ(opts.work_dir_fd(), 9);
  EXPECT_EQ(opts.timeout(), 7u);
  EXPECT_EQ(opts.log_file(), "dump.log");
  EXPECT_EQ(opts.log_level(), 2);
  EXPECT_EQ(opts.freeze_cgroup(), "/sys/fs/cgroup/freezer/c");
  EXPECT_THAT(opts.external(), ElementsAre("net[4026532182]:extRootNetNS"));
  EXPECT_THAT(opts.irmap_scan_paths(), ElementsAre("/config"));
  ASSERT_EQ(opts.ext_mnt_size(), 2);
  EXPECT_EQ(opts.ext_mnt(0).key(), "/etc/hosts");
  EXPECT_EQ(opts.ext_mnt(1).key(), "/proc/keys");
  EXPECT_EQ(opts.ext_mnt(1).val(), "/dev/null");
}

TEST_F(DumpRequestTest, LeavesTheContainerRunningItsCgroupsAloneAndTheNetworkUnlocked) {
  EXPECT_TRUE(Opts().leave_running());
  EXPECT_TRUE(Opts().manage_cgroups());
  EXPECT_EQ(Opts().manage_cgroups_mode(), wire::IGNORE);
  EXPECT_TRUE(Opts().has_manage_cgroups_mode());
  EXPECT_EQ(Opts().network_lock(), wire::SKIP);
}

TEST_F(DumpRequestTest, CarriesWhatAContainerOrdinarilyHoldsAndNothingThatReachesOutside) {
  EXPECT_TRUE(Opts().tcp_close());
  EXPECT_TRUE(Opts().tcp_skip_in_flight());
  EXPECT_TRUE(Opts().file_locks());
  EXPECT_TRUE(Opts().force_irmap());
  EXPECT_TRUE(Opts().orphan_pts_master());
  EXPECT_EQ(Opts().ghost_limit(), 64u << 20);
  EXPECT_FALSE(Opts().ext_unix_sk());
  EXPECT_FALSE(Opts().shell_job());
  EXPECT_FALSE(Opts().link_remap());
}

TEST_F(DumpRequestTest, WaitsForOurWordBeforeItTouchesATask) {
  EXPECT_TRUE(Opts().notify_scripts());

  EXPECT_EQ(Parse(GoOnRequest()).type(), wire::NOTIFY);
  EXPECT_TRUE(Parse(GoOnRequest()).notify_success());
}

TEST_F(DumpRequestTest, WithoutACgroupCriuStopsTheTasksItself) {
  options_.freeze_cgroup.clear();

  EXPECT_FALSE(Opts().has_freeze_cgroup());
}

TEST(CheckRequestTest, WritesNoLogFile) {
  const wire::criu_req request = Parse(CheckRequest());

  EXPECT_EQ(request.type(), wire::CHECK);
  EXPECT_TRUE(request.opts().log_to_stderr());
  EXPECT_FALSE(request.opts().has_log_file());
}

TEST(FeatureRequestTest, AsksForAFeatureSinceCriuReadsTheListUnchecked) {
  EXPECT_EQ(Parse(FeatureRequest()).type(), wire::FEATURE_CHECK);
  EXPECT_TRUE(Parse(FeatureRequest()).has_features());
}

TEST(ParseAnswerTest, ReadsVersionErrorsAndWhereCriuWaitsForUsAndIgnoresFieldsOfANewerOne) {
  wire::criu_resp response;
  response.set_type(wire::NOTIFY);
  response.set_success(true);
  response.set_cr_errmsg("why");
  response.mutable_version()->set_major_number(4);
  response.mutable_version()->set_minor_number(2);
  response.mutable_version()->set_sublevel(1);
  response.mutable_notify()->set_script("pre-dump");
  const std::string unknown_field_100 =
      "\xa2\x06\x03"
      "abc";

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Answer answer,
                               ParseAnswer(response.SerializeAsString() + unknown_field_100));

  EXPECT_TRUE(answer.success);
  EXPECT_EQ(answer.error_message, "why");
  EXPECT_EQ(answer.asks_to_go_on, "pre-dump");
  ASSERT_TRUE(answer.version);
  EXPECT_EQ(answer.version->text(), "4.2.1");
}

TEST(ParseAnswerTest, RefusesWhatIsNoAnswer) {
  EXPECT_THAT(ParseAnswer(""), StatusIs(Code::kDataLoss));
  EXPECT_THAT(ParseAnswer("\xff\xff garbage"), StatusIs(Code::kDataLoss));
}

}  // namespace
}  // namespace cryopod::criu
