#include "restore/runtime/bundle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::wrapper {
namespace {

using ::testing::HasSubstr;

constexpr char kContainerAnnotations[] = R"(
    "io.kubernetes.cri.container-type": "container",
    "io.kubernetes.cri.sandbox-id": "s1",
    "io.kubernetes.cri.sandbox-name": "web",
    "io.kubernetes.cri.sandbox-namespace": "default",
    "io.kubernetes.cri.sandbox-uid": "u-1",
    "io.kubernetes.cri.container-name": "app",
    "cryopod.dev/restore-from": "web-1")";

std::string Config(const std::string& annotations, const std::string& rest = "") {
  return R"({"ociVersion": "1.2.0", "root": {"path": "rootfs"}, "annotations": {)" + annotations +
         "}" + rest + "}";
}

class BundleTest : public ::testing::Test {
 protected:
  Result<std::optional<Request>> Read(const std::string& config) {
    test::WriteText(temp_.path() / "config.json", config);
    return ReadRestoreRequest(bundle());
  }
  std::string bundle() const { return temp_.path().string(); }

  test::TempDirectory temp_;
};

TEST_F(BundleTest, AContainerThatAsksForARestoreBecomesACreateRequest) {
  const Result<std::optional<Request>> request = Read(Config(kContainerAnnotations, R"(, "linux": {
        "cgroupsPath": "/k8s.io/abc",
        "namespaces": [{"type": "pid"}, {"type": "uts", "path": "/proc/7/ns/uts"},
                       {"type": "network", "path": "/proc/7/ns/net"}, {"type": "cgroup"}]})"));

  Request expected;
  expected.kind = Request::Kind::kCreate;
  expected.sandbox_id = "s1";
  expected.pod_name = "web";
  expected.pod_namespace = "default";
  expected.pod_uid = "u-1";
  expected.container_name = "app";
  expected.restore_from = "web-1";
  expected.rootfs = bundle() + "/rootfs";
  expected.bundle = bundle();
  expected.cgroups_path = "/k8s.io/abc";
  expected.namespace_paths = {{"uts", "/proc/7/ns/uts"}, {"network", "/proc/7/ns/net"}};
  expected.cgroup_namespace = true;
  EXPECT_THAT(request, test::IsOkAnd(std::optional(expected)));
}

TEST_F(BundleTest, ASandboxThatAsksForARestoreBecomesASandboxRequest) {
  const Result<std::optional<Request>> request =
      Read(Config(R"("io.kubernetes.cri.container-type": "sandbox",
                "io.kubernetes.cri.sandbox-id": "s1", "io.kubernetes.cri.sandbox-uid": "u-1",
                "cryopod.dev/restore-from": "web-1@sha256:aa",
                "cryopod.dev/restore-operation": "op-7")"));

  Request expected;
  expected.kind = Request::Kind::kSandbox;
  expected.sandbox_id = "s1";
  expected.pod_uid = "u-1";
  expected.restore_from = "web-1@sha256:aa";
  expected.restore_operation = "op-7";
  expected.rootfs = bundle() + "/rootfs";
  expected.bundle = bundle();
  EXPECT_THAT(request, test::IsOkAnd(std::optional(expected)));
}

TEST_F(BundleTest, HowThePodIsToBeRestoredIsReadFromItsAnnotations) {
  const Result<std::optional<Request>> asks = Read(Config(std::string(kContainerAnnotations) +
                                                          R"(, "cryopod.dev/restore-once": "true",
                       "cryopod.dev/on-restore-failure": "cold-start",
                       "cryopod.dev/differences": "image, command")"));
  const Result<std::optional<Request>> declines = Read(
      Config(std::string(kContainerAnnotations) +
             R"(, "cryopod.dev/restore-once": "false", "cryopod.dev/on-restore-failure": "fail")"));

  ASSERT_THAT(asks, test::IsOk());
  EXPECT_TRUE((*asks)->restore_once);
  EXPECT_TRUE((*asks)->cold_start);
  EXPECT_EQ((*asks)->differences, "image, command");
  ASSERT_THAT(declines, test::IsOk());
  EXPECT_FALSE((*declines)->restore_once);
  EXPECT_FALSE((*declines)->cold_start);
}

TEST_F(BundleTest, AnAbsoluteRootIsTakenAsItIs) {
  const Result<std::optional<Request>> request =
      Read(R"({"root": {"path": "/elsewhere"}, "annotations": {)" +
           std::string(kContainerAnnotations) + "}}");

  ASSERT_THAT(request, test::IsOk());
  EXPECT_EQ((*request)->rootfs, "/elsewhere");
}

TEST_F(BundleTest, ABundleWithoutTheAnnotationAsksForNothing) {
  EXPECT_THAT(ReadRestoreRequest(bundle()), test::IsOkAnd(std::nullopt));
  EXPECT_THAT(Read(Config(R"("a": "b")")), test::IsOkAnd(std::nullopt));
  EXPECT_THAT(Read("rubbish that the real runtime refuses"), test::IsOkAnd(std::nullopt));
  // The words somewhere else are not the annotation.
  EXPECT_THAT(
      Read(Config(R"("a": "b")", R"(, "process": {"env": ["cryopod.dev/restore-from=x"]})")),
      test::IsOkAnd(std::nullopt));
}

struct Unanswerable {
  const char* name;
  const char* annotations;
  const char* reason;
};

class UnanswerableTest : public BundleTest, public ::testing::WithParamInterface<Unanswerable> {};

TEST_P(UnanswerableTest, IsRefusedAndNotStartedCold) {
  EXPECT_THAT(Read(Config(GetParam().annotations)),
              test::StatusIs(Code::kInvalidArgument, HasSubstr(GetParam().reason)));
}

INSTANTIATE_TEST_SUITE_P(
    All, UnanswerableTest,
    ::testing::Values(
        Unanswerable{"no_archive",
                     R"("cryopod.dev/restore-from": "", "io.kubernetes.cri.container-type": "x")",
                     "names no archive"},
        Unanswerable{"not_a_string",
                     R"("cryopod.dev/restore-from": 7, "io.kubernetes.cri.container-type": "x")",
                     "names no archive"},
        Unanswerable{"no_pod", R"("cryopod.dev/restore-from": "a")", "belongs to no pod"},
        Unanswerable{"unknown_type",
                     R"("cryopod.dev/restore-from": "a", "io.kubernetes.cri.container-type": "vm")",
                     "it is on a vm"},
        Unanswerable{
            "no_uid",
            R"("cryopod.dev/restore-from": "a", "io.kubernetes.cri.container-type": "sandbox")",
            "no UID"},
        Unanswerable{
            "no_name",
            R"("cryopod.dev/restore-from": "a", "io.kubernetes.cri.container-type": "container",
               "io.kubernetes.cri.sandbox-uid": "u")",
            "no name"},
        Unanswerable{"once_unknown",
                     R"("cryopod.dev/restore-from": "a", "cryopod.dev/restore-once": "yes",
                        "io.kubernetes.cri.container-type": "sandbox")",
                     "restore-once is \"yes\"; it may be false or true"},
        Unanswerable{"once_no_text",
                     R"("cryopod.dev/restore-from": "a", "cryopod.dev/restore-once": true,
                        "io.kubernetes.cri.container-type": "sandbox")",
                     "it may be false or true"},
        Unanswerable{"failure_unknown",
                     R"("cryopod.dev/restore-from": "a", "cryopod.dev/on-restore-failure": "cold",
                        "io.kubernetes.cri.container-type": "sandbox")",
                     "it may be fail or cold-start"},
        Unanswerable{"difference_unknown",
                     R"("cryopod.dev/restore-from": "a", "cryopod.dev/differences": "image,user",
                        "io.kubernetes.cri.container-type": "sandbox")",
                     "\"user\" is no difference"},
        Unanswerable{"broken_json", R"("cryopod.dev/restore-from": "a",,)", "no JSON"}),
    [](const auto& entry) { return entry.param.name; });

}  // namespace
}  // namespace cryopod::wrapper
