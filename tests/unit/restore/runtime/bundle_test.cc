#include "restore/runtime/bundle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::wrapper {
namespace {

using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

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

TEST(BundleTest, AContainerThatAsksForARestoreBecomesACreateRequest) {
  const Result<std::optional<Request>> request = ParseRestoreRequest(
      Config(kContainerAnnotations, R"(, "process": {"terminal": true}, "linux": {
        "cgroupsPath": "/k8s.io/abc",
        "namespaces": [{"type": "pid"}, {"type": "uts", "path": "/proc/7/ns/uts"},
                       {"type": "network", "path": "/proc/7/ns/net"}, {"type": "cgroup"}]})"),
      "/bundle");

  ASSERT_THAT(request, test::IsOk());
  ASSERT_TRUE(request->has_value());
  EXPECT_EQ((*request)->kind, Request::Kind::kCreate);
  EXPECT_EQ((*request)->sandbox_id, "s1");
  EXPECT_EQ((*request)->pod_name, "web");
  EXPECT_EQ((*request)->pod_namespace, "default");
  EXPECT_EQ((*request)->pod_uid, "u-1");
  EXPECT_EQ((*request)->container_name, "app");
  EXPECT_EQ((*request)->restore_from, "web-1");
  EXPECT_EQ((*request)->restore_operation, "");
  EXPECT_EQ((*request)->rootfs, "/bundle/rootfs");
  EXPECT_EQ((*request)->bundle, "/bundle");
  EXPECT_EQ((*request)->cgroups_path, "/k8s.io/abc");
  EXPECT_THAT((*request)->namespace_paths, UnorderedElementsAre(Pair("uts", "/proc/7/ns/uts"),
                                                                Pair("network", "/proc/7/ns/net")));
  EXPECT_TRUE((*request)->cgroup_namespace);
  EXPECT_TRUE((*request)->terminal);
}

TEST(BundleTest, ASandboxThatAsksForARestoreBecomesASandboxRequest) {
  const Result<std::optional<Request>> request =
      ParseRestoreRequest(Config(R"("io.kubernetes.cri.container-type": "sandbox",
                "io.kubernetes.cri.sandbox-id": "s1", "io.kubernetes.cri.sandbox-uid": "u-1",
                "cryopod.dev/restore-from": "web-1@sha256:aa",
                "cryopod.dev/restore-operation": "op-7")"),
                          "/bundle");

  ASSERT_THAT(request, test::IsOk());
  ASSERT_TRUE(request->has_value());
  EXPECT_EQ((*request)->kind, Request::Kind::kSandbox);
  EXPECT_EQ((*request)->container_name, "");
  EXPECT_EQ((*request)->restore_from, "web-1@sha256:aa");
  EXPECT_EQ((*request)->restore_operation, "op-7");
  EXPECT_FALSE((*request)->cgroup_namespace);
}

TEST(BundleTest, AnAbsoluteRootIsTakenAsItIs) {
  const std::string config = R"({"root": {"path": "/elsewhere"}, "annotations": {)" +
                             std::string(kContainerAnnotations) + "}}";

  const Result<std::optional<Request>> request = ParseRestoreRequest(config, "/bundle");

  ASSERT_THAT(request, test::IsOk());
  EXPECT_EQ((*request)->rootfs, "/elsewhere");
}

TEST(BundleTest, ABundleWithoutTheAnnotationAsksForNothing) {
  EXPECT_THAT(ParseRestoreRequest(Config(R"("a": "b")"), "/b"), test::IsOkAnd(std::nullopt));
  EXPECT_THAT(ParseRestoreRequest("rubbish that the real runtime refuses", "/b"),
              test::IsOkAnd(std::nullopt));
  // The words somewhere else are not the annotation.
  EXPECT_THAT(
      ParseRestoreRequest(
          Config(R"("a": "b")", R"(, "process": {"env": ["cryopod.dev/restore-from=x"]})"), "/b"),
      test::IsOkAnd(std::nullopt));
}

struct Unanswerable {
  const char* name;
  const char* annotations;
  const char* reason;
};

class UnanswerableTest : public ::testing::TestWithParam<Unanswerable> {};

TEST_P(UnanswerableTest, IsRefusedAndNotStartedCold) {
  EXPECT_THAT(ParseRestoreRequest(Config(GetParam().annotations), "/b"),
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
        Unanswerable{"broken_json", R"("cryopod.dev/restore-from": "a",,)", "no JSON"}),
    [](const auto& entry) { return entry.param.name; });

TEST(BundleTest, ReadsConfigJsonOfTheBundle) {
  test::TempDirectory temp;
  test::WriteText(temp.path() / "config.json", Config(kContainerAnnotations));

  const Result<std::optional<Request>> request = ReadRestoreRequest(temp.path().string());
  std::filesystem::remove(temp.path() / "config.json");
  const Result<std::optional<Request>> absent = ReadRestoreRequest(temp.path().string());

  ASSERT_THAT(request, test::IsOk());
  EXPECT_EQ((*request)->rootfs, (temp.path() / "rootfs").string());
  EXPECT_THAT(absent, test::IsOkAnd(std::nullopt));
}

}  // namespace
}  // namespace cryopod::wrapper
