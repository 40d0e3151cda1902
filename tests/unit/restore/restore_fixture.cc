#include "tests/unit/restore/restore_fixture.h"

#include <signal.h>

#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "agent/archive/oci/media_types.h"
#include "agent/archive/oci/sha256.h"
#include "agent/archive/store/archive_writer.h"
#include "agent/jobs/job_file.h"
#include "agent/os/mount.h"
#include "agent/os/proc.h"
#include "restore/check_node.h"
#include "restore/container_cgroup.h"
#include "restore/runtime/protocol/consumed_record.h"
#include "restore/stage_archive.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/agent/criu/images/image_bytes.h"

namespace cryopod::restore {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int kCapabilityMax = 40;  // CAP_CHECKPOINT_RESTORE
constexpr const char* kContainers[] = {"app", "sidecar"};

// CRIU's images of a container of one process that has ended.
void WriteImages(const fs::path& directory, const std::string& descriptors) {
  namespace images = criu::test;
  const auto write = [&](const char* name, const std::string& bytes) {
    test::WriteText(directory / name, bytes);
  };
  criu::wire::core_entry core;
  core.set_mtype(1);
  criu::wire::inventory_entry inventory;
  inventory.set_img_version(2);
  write("pstree.img",
        images::ImageOf(images::kPstreeMagic, std::vector{images::Process(1, 0, {})}));
  write("core-1.img", images::ImageOf(criu::kCoreMagic, std::vector{core}));
  write("seccomp.img",
        images::ImageOf(criu::kSeccompMagic, std::vector{criu::wire::seccomp_entry()}));
  write("files.img", images::ImageOf(criu::kFilesMagic, std::vector<criu::wire::file_entry>()));
  // It has one magic number only.
  write("inventory.img",
        images::ImageOf(criu::kInventoryMagic, std::vector{inventory}).substr(sizeof(uint32_t)));
  write("descriptors.json", descriptors);
}

CgroupVersion Version() {
  const bool v1 = test::FreezerMount(CgroupVersion::kV1).has_value();
  return v1 ? CgroupVersion::kV1 : CgroupVersion::kV2;
}

// A live request that allows all that a process of this test can hold.
std::string PermissiveConfig() {
  nlohmann::json names = nlohmann::json::array();
  for (int number = 0; number <= kCapabilityMax; ++number) {
    names.push_back(FirstCapabilityName(uint64_t{1} << number));
  }
  const nlohmann::json capabilities = {
      {"bounding", names}, {"effective", names}, {"permitted", names}};
  return nlohmann::json{{"process", {{"capabilities", capabilities}}}}.dump();
}

// Waits a moment for a signal to arrive. A process that is not there counts as a zombie.
bool ReachesState(pid_t pid, char state) {
  for (int i = 0; i < 40; ++i) {
    const Result<ProcessInfo> info = ReadProcessInfo(pid);
    if ((info.ok() ? info->state : 'Z') == state) return true;
    std::this_thread::sleep_for(milliseconds(5));
  }
  return false;
}

}  // namespace

void RestoreFixture::SetUp() {
  fs::create_directories(job_dir());
  fs::create_symlink(CRYOPOD_FAKE_CRIU, Path("criu"));
  cgroup_ = std::make_unique<test::TestCgroup>(Version());
  if (!cgroup_->valid()) GTEST_SKIP() << "no cgroup hierarchy that can freeze";
  MakeJob();
  MakeArchive();
}

void RestoreFixture::TearDown() {
  processes_.clear();
  for (const std::string& path : mounted_) EXPECT_THAT(UnmountAll(path), test::IsOk());
  EXPECT_THAT(UnmountAll(job_.staging_dir), test::IsOk());
}

void RestoreFixture::MakeJob() {
  job_.operation_id = "r-1";
  job_.archive = "web-1";
  job_.pod_uid = "u-1";
  job_.pod_name = "web";
  job_.pod_namespace = "shop";
  job_.restore_from = "web-1";
  job_.store_root = Path("store");
  job_.state_dir = Path("state");
  job_.unpack_program = CRYOPOD_UNPACK_PROGRAM;
  job_.criu_program = Path("criu");
  job_.staging_dir = Path("job/staging");
  job_.idle_timeout = seconds(20);
  job_.hold = seconds(20);
}

void RestoreFixture::MakeArchive() {
  Result<archive::ArchiveStore> store = archive::ArchiveStore::Open(job_.store_root);
  ASSERT_THAT(store, test::IsOk());
  Result<archive::ArchiveWriter> writer = store->Create("web-1");
  ASSERT_THAT(writer, test::IsOk());
  archive::PodCheckpoint checkpoint;
  checkpoint.created = "2026-11-24T22:00:00Z";
  checkpoint.pod_name = "web";
  checkpoint.pod_namespace = "shop";
  checkpoint.pod_uid = "u-0";
  CRYOPOD_ASSERT_OK_AND_ASSIGN(checkpoint.node,
                               ReadThisNode(job_.criu_program, Deadline::After(seconds(10))));
  std::vector<archive::ContainerParts> layers;
  for (const std::string name : kContainers) {
    const fs::path images = temp_.path() / ("images-" + name);
    const fs::path upper = temp_.path() / ("upper-" + name);
    fs::create_directories(images);
    fs::create_directories(upper / "var");
    WriteImages(images, "processes of " + name);
    test::WriteText(upper / "var/state", "written by " + name);
    archive::ContainerParts layer;
    layer.name = name;
    CRYOPOD_ASSERT_OK_AND_ASSIGN(
        layer.metadata,
        writer->PackMemory({{"config.dump", "{}"}}, archive::kMetadataLayerMediaType));
    CRYOPOD_ASSERT_OK_AND_ASSIGN(layer.criu_images,
                                 writer->PackFiles(OpenDirectory(images)->get(),
                                                   archive::kCriuImagesLayerMediaType, nullptr));
    CRYOPOD_ASSERT_OK_AND_ASSIGN(layer.rootfs_diff,
                                 writer->PackOverlayUpper(OpenDirectory(upper)->get(), nullptr));
    layers.push_back(layer);
    archive::ContainerCheckpoint container;
    container.name = name;
    container.id = "source-" + name;
    container.image = name + ":1";
    container.image_ref = "sha256:image";
    container.tasks = 1;
    container.images_bytes = 1000;
    container.rootfs_bytes = 1000;
    checkpoint.containers.push_back(container);
  }
  checkpoint.finished.push_back({"setup", "", ""});
  CRYOPOD_ASSERT_OK_AND_ASSIGN(
      const archive::Descriptor pod,
      writer->PackMemory({{"pod.dump", "{}"}}, archive::kMetadataLayerMediaType));
  const Result<archive::Archive> archive = std::move(*writer).Commit(checkpoint, pod, layers);
  ASSERT_THAT(archive, test::IsOk());
  job_.digest = archive->digest();
}

void RestoreFixture::WriteRequestFile() const {
  ASSERT_THAT(jobs::WriteFileOf(job_dir(), jobs::kRequestFile, job_), test::IsOk());
}

void RestoreFixture::DamageImages(const std::string& container) {
  const Result<archive::Archive> archive = OpenArchiveOf(job_);
  ASSERT_THAT(archive, test::IsOk());
  const archive::Descriptor& images = archive->FindContainer(container).value()->criu_images;
  const fs::path blob =
      temp_.path() / "store/web-1/blobs/sha256" / archive::DigestHex(images.digest);
  std::string bytes = test::ReadText(blob);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  test::WriteText(blob, bytes);
}

wrapper::Request RestoreFixture::CreateRequest(const std::string& container,
                                               const std::string& id) {
  wrapper::Request request;
  request.kind = wrapper::Request::Kind::kCreate;
  request.pod_uid = job_.pod_uid;
  request.container_name = container;
  request.container_id = id;
  request.sandbox_id = "s1";
  request.restore_from = job_.restore_from;
  request.image = container + ":1";
  request.image_ref = "sha256:image";
  request.state_dir = Path("root/" + id);
  request.rootfs = Path("rootfs-" + id);
  request.bundle = Path("bundle-" + id);
  fs::create_directories(request.bundle);
  test::WriteText(request.bundle + "/config.json", PermissiveConfig());
  fs::create_directories(request.state_dir);
  EXPECT_THAT(MountTmpfs(request.rootfs, uint64_t{1} << 20), test::IsOk());
  mounted_.push_back(request.rootfs);
  const std::string cgroup = cgroup_->MakeChild(id);
  request.cgroups_path = cgroup.substr(test::FreezerMount(Version())->size());
  return request;
}

wrapper::Request RestoreFixture::StartRequest(const wrapper::Request& create) const {
  wrapper::Request request = create;
  request.kind = wrapper::Request::Kind::kStart;
  return request;
}

std::string RestoreFixture::CgroupOf(const wrapper::Request& request) {
  const Result<std::string> directory = CgroupDirectoryOf(request.cgroups_path);
  EXPECT_THAT(directory, test::IsOk());
  return directory.ok() ? *directory : "";
}

wrapper::Outcome RestoreFixture::RestoreProcess(const wrapper::Request& create) {
  processes_.emplace_back(create.rootfs, CgroupOf(create), test::MountBox::Acts());
  const pid_t pid = processes_.back().pid();
  EXPECT_THAT(processes_.back().Kill(SIGSTOP), test::IsOk());
  EXPECT_TRUE(IsStopped(pid));
  return {true, pid, ""};
}

bool RestoreFixture::IsHeld(const wrapper::Request& request) {
  return fs::exists(request.state_dir + "/cryopod.held");
}

bool RestoreFixture::IsConsumed(const std::string& container) const {
  wrapper::Request request;
  request.pod_uid = job_.pod_uid;
  request.container_name = container;
  request.restore_from = job_.restore_from;
  const Result<bool> restored = wrapper::WasRestored(job_.state_dir, request);
  EXPECT_THAT(restored, test::IsOk());
  return restored.ok() && *restored;
}

bool RestoreFixture::IsStopped(pid_t pid) { return ReachesState(pid, 'T'); }

// Ended, whether we have reaped it or not.
bool RestoreFixture::IsGone(pid_t pid) { return ReachesState(pid, 'Z'); }

}  // namespace cryopod::restore
