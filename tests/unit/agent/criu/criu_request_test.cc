#include "agent/criu/criu_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/criu/proto/rpc.pb.h"
#include "tests/support/status_matchers.h"

namespace cryopod::criu {
namespace {

using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using ::testing::ElementsAre;

DumpOptions Options() {
  DumpOptions options;
  options.pid = 4711;
  options.root = "/run/c/rootfs";
  options.freeze_cgroup = "/sys/fs/cgroup/freezer/c";
  options.externals = {"net[4026532182]:extRootNetNS"};
  options.external_mounts = {{"/etc/hosts", "/etc/hosts"}, {"/proc/keys", "/dev/null"}};
  return options;
}

wire::criu_opts OptsOf(const std::string& bytes) {
  wire::criu_req request;
  EXPECT_TRUE(request.ParseFromString(bytes));
  EXPECT_EQ(request.type(), wire::DUMP);
  return request.opts();
}

TEST(DumpRequestTest, NamesWhatIsToBeDumpedAndWhereTo) {
  const wire::criu_opts opts = OptsOf(DumpRequest(Options(), 8, 9, 7));

  EXPECT_EQ(opts.pid(), 4711);
  EXPECT_EQ(opts.root(), "/run/c/rootfs");
  EXPECT_EQ(opts.images_dir_fd(), 8);
  EXPECT_EQ(opts.work_dir_fd(), 9);
  EXPECT_EQ(opts.timeout(), 7u);
  EXPECT_EQ(opts.log_file(), "dump.log");
  EXPECT_EQ(opts.log_level(), 4);
  EXPECT_EQ(opts.freeze_cgroup(), "/sys/fs/cgroup/freezer/c");
  EXPECT_THAT(opts.external(), ElementsAre("net[4026532182]:extRootNetNS"));
}

TEST(DumpRequestTest, MapsEachExternalMountToItsKey) {
  const wire::criu_opts opts = OptsOf(DumpRequest(Options(), 8, 9, 7));

  ASSERT_EQ(opts.ext_mnt_size(), 2);
  EXPECT_EQ(opts.ext_mnt(0).key(), "/etc/hosts");
  EXPECT_EQ(opts.ext_mnt(1).key(), "/proc/keys");
  EXPECT_EQ(opts.ext_mnt(1).val(), "/dev/null");
}

TEST(DumpRequestTest, LeavesTheContainerRunningItsCgroupsAloneAndTheNetworkUnlocked) {
  const wire::criu_opts opts = OptsOf(DumpRequest(Options(), 8, 9, 7));

  EXPECT_TRUE(opts.leave_running());
  EXPECT_TRUE(opts.manage_cgroups());
  EXPECT_EQ(opts.manage_cgroups_mode(), wire::IGNORE);
  EXPECT_TRUE(opts.has_manage_cgroups_mode());
  EXPECT_EQ(opts.network_lock(), wire::SKIP);
}

TEST(DumpRequestTest, CarriesWhatAContainerOrdinarilyHolds) {
  const wire::criu_opts opts = OptsOf(DumpRequest(Options(), 8, 9, 7));

  EXPECT_TRUE(opts.tcp_close());
  EXPECT_TRUE(opts.tcp_skip_in_flight());
  EXPECT_TRUE(opts.file_locks());
  EXPECT_TRUE(opts.force_irmap());
  EXPECT_TRUE(opts.orphan_pts_master());
  EXPECT_EQ(opts.ghost_limit(), 64u << 20);
}

TEST(DumpRequestTest, WaitsForOurWordBeforeItTouchesATask) {
  EXPECT_TRUE(OptsOf(DumpRequest(Options(), 8, 9, 7)).notify_scripts());

  wire::criu_req request;
  ASSERT_TRUE(request.ParseFromString(GoOnRequest()));
  EXPECT_EQ(request.type(), wire::NOTIFY);
  EXPECT_TRUE(request.notify_success());
}

TEST(DumpRequestTest, AsksForNothingThatReachesOutside) {
  const wire::criu_opts opts = OptsOf(DumpRequest(Options(), 8, 9, 7));

  EXPECT_FALSE(opts.ext_unix_sk());
  EXPECT_FALSE(opts.shell_job());
  EXPECT_FALSE(opts.link_remap());
}

TEST(DumpRequestTest, WithoutACgroupCriuStopsTheTasksItself) {
  DumpOptions options = Options();
  options.freeze_cgroup.clear();

  EXPECT_FALSE(OptsOf(DumpRequest(options, 8, 9, 7)).has_freeze_cgroup());
}

TEST(CheckRequestTest, WritesNoLogFile) {
  wire::criu_req request;

  ASSERT_TRUE(request.ParseFromString(CheckRequest()));

  EXPECT_EQ(request.type(), wire::CHECK);
  EXPECT_TRUE(request.opts().log_to_stderr());
  EXPECT_FALSE(request.opts().has_log_file());
}

TEST(FeatureRequestTest, AsksForAFeatureSinceCriuReadsTheListUnchecked) {
  wire::criu_req request;

  ASSERT_TRUE(request.ParseFromString(FeatureRequest()));

  EXPECT_EQ(request.type(), wire::FEATURE_CHECK);
  EXPECT_TRUE(request.has_features());
}

TEST(ParseAnswerTest, ReadsVersionAndErrors) {
  wire::criu_resp response;
  response.set_type(wire::VERSION);
  response.set_success(false);
  response.set_cr_errno(17);
  response.set_cr_errmsg("why");
  response.mutable_version()->set_major_number(4);
  response.mutable_version()->set_minor_number(2);
  response.mutable_version()->set_sublevel(1);

  const Result<Answer> answer = ParseAnswer(response.SerializeAsString());

  ASSERT_THAT(answer, IsOk());
  EXPECT_FALSE(answer->success);
  EXPECT_EQ(answer->error_number, 17);
  EXPECT_EQ(answer->error_message, "why");
  EXPECT_TRUE(answer->has_version);
  EXPECT_EQ(answer->version_major, 4);
  EXPECT_EQ(answer->version_minor, 2);
  EXPECT_EQ(answer->version_sublevel, 1);
}

TEST(ParseAnswerTest, TellsWhereCriuWaitsForUs) {
  wire::criu_resp response;
  response.set_type(wire::NOTIFY);
  response.set_success(true);
  response.mutable_notify()->set_script("pre-dump");

  const Result<Answer> answer = ParseAnswer(response.SerializeAsString());

  ASSERT_THAT(answer, IsOk());
  EXPECT_EQ(answer->asks_to_go_on, "pre-dump");
}

TEST(ParseAnswerTest, FieldsOfANewerCriuAreIgnored) {
  wire::criu_resp response;
  response.set_type(wire::DUMP);
  response.set_success(true);
  const std::string unknown_field_100 =
      "\xa2\x06\x03"
      "abc";

  const Result<Answer> answer = ParseAnswer(response.SerializeAsString() + unknown_field_100);

  ASSERT_THAT(answer, IsOk());
  EXPECT_TRUE(answer->success);
}

TEST(ParseAnswerTest, RefusesWhatIsNoAnswer) {
  EXPECT_THAT(ParseAnswer(""), StatusIs(Code::kDataLoss));
  EXPECT_THAT(ParseAnswer("\xff\xff garbage"), StatusIs(Code::kDataLoss));
}

}  // namespace
}  // namespace cryopod::criu
