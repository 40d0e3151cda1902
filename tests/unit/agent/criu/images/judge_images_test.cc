#include "agent/criu/images/judge_images.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <functional>
#include <string>
#include <vector>

#include "agent/os/proc.h"
#include "image_bytes.h"

namespace cryopod::criu {
namespace {

using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using test::ImageOf;
using test::Number;
using test::Process;
using test::Regular;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint64_t kAll = ~uint64_t{0};
constexpr uint64_t kBounding = 0xa80425fb;  // what a container runtime leaves by default
// Field 3000 of whatever message, a varint.
const std::string kUnknownField("\xc0\xbb\x01\x01", 4);

uint64_t Bit(const char* capability) { return uint64_t{1} << *CapabilityNumber(capability); }

void Set(uint64_t mask, google::protobuf::RepeatedField<uint32_t>* set) {
  set->Clear();
  set->Add(static_cast<uint32_t>(mask));
  set->Add(static_cast<uint32_t>(mask >> 32));
}
uint64_t Mask(const google::protobuf::RepeatedField<uint32_t>& set) {
  return set.size() == 2 ? set.Get(0) | uint64_t{set.Get(1)} << 32 : kAll;
}

wire::creds_entry Credentials(uint32_t uid, uint64_t capabilities, uint64_t bounding) {
  wire::creds_entry creds;
  for (const auto set :
       {&wire::creds_entry::set_uid, &wire::creds_entry::set_euid, &wire::creds_entry::set_suid,
        &wire::creds_entry::set_fsuid, &wire::creds_entry::set_gid, &wire::creds_entry::set_egid,
        &wire::creds_entry::set_sgid, &wire::creds_entry::set_fsgid}) {
    (creds.*set)(uid);
  }
  Set(0, creds.mutable_cap_inh());
  Set(capabilities, creds.mutable_cap_prm());
  Set(capabilities, creds.mutable_cap_eff());
  Set(bounding, creds.mutable_cap_bnd());
  Set(0, creds.mutable_cap_amb());
  creds.set_secbits(0);
  creds.set_no_new_privs(1);
  return creds;
}

// Images of a container of user 1000 with a second process and a thread, confined as the rules ask.
class JudgeImagesTest : public test::ImagesTest {
 protected:
  JudgeImagesTest() {
    rules_.uid = rules_.gid = 1000;
    rules_.groups = {2000};
    rules_.bounding = kBounding;
    rules_.no_new_privs = true;
    rules_.seccomp_filters = {{{1, 2}, 0}};
    rules_.oom_score_adj = 100;
    rules_.hard_limits.assign(RLIM_NLIMITS, 4096);
    rules_.mounts = {
        {"/", 0, false}, {"/data", MS_RDONLY | MS_NODEV, false}, {"/proc/sys", MS_RDONLY, true}};
    Write("pstree.img",
          ImageOf(test::kPstreeMagic, std::vector{Process(1, 0, {1, 2}), Process(7, 1, {7})}));
    core_.set_mtype(1);
    core_.mutable_tc()->set_comm("program");
    core_.mutable_tc()->set_oom_score_adj(100);
    for (int i = 0; i < RLIM_NLIMITS; ++i) {
      wire::rlimit_entry* const limit = core_.mutable_tc()->mutable_rlimits()->add_rlimits();
      limit->set_cur(1024);
      limit->set_max(4096);
    }
    *core_.mutable_thread_core()->mutable_creds() = Credentials(1000, 0, kBounding);
    core_.mutable_thread_core()->set_seccomp_mode(2);
    core_.mutable_thread_core()->set_seccomp_filter(1);
    for (const char* task : {"1", "2", "7"}) WriteCore(task, core_);
    filters_.add_seccomp_filters()->set_filter("newer");
    filters_.add_seccomp_filters()->set_filter(test::Bytes(rules_.seccomp_filters[0]));
    filters_.mutable_seccomp_filters(1)->set_prev(0);
    WriteFilters();
    Write("files.img", ImageOf(kFilesMagic, std::vector{Regular(1, "/data/file")}));
    WriteMount("/data", MS_RDONLY | MS_NODEV);
    WriteInventory(0);
  }

  void WriteCore(const std::string& task, const wire::core_entry& core) {
    Write("core-" + task + ".img", ImageOf(kCoreMagic, std::vector{core}));
  }
  void WriteFilters() { Write("seccomp.img", ImageOf(kSeccompMagic, std::vector{filters_})); }
  void WriteFile(const std::function<void(wire::file_entry&)>& change) {
    wire::file_entry file = Regular(1, "/data/file");
    change(file);
    Write("files.img", ImageOf(kFilesMagic, std::vector{file}));
  }
  void WriteMount(const std::string& mount_point, uint32_t flags) {
    wire::mnt_entry mount;
    mount.set_mountpoint(mount_point);
    mount.set_flags(flags);
    Write("mountpoints-13.img", ImageOf(kMountsMagic, std::vector{mount}));
  }
  void WriteInventory(uint32_t lsm) {
    wire::inventory_entry inventory;
    inventory.set_img_version(2);
    inventory.set_lsmtype(lsm);
    Write("inventory.img",
          ImageOf(kInventoryMagic, std::vector{inventory}).substr(sizeof(uint32_t)));
  }
  Status Judge() const { return JudgeImages(dir_.get(), rules_); }

  wire::core_entry Core(const std::string& task) const {
    return Entries<wire::core_entry>("core-" + task + ".img", kCoreMagic).at(0);
  }
  wire::creds_entry Creds(const std::string& task) const {
    return Core(task).thread_core().creds();
  }
  // What is forged in one task, and what the judge makes of it.
  wire::core_entry Rewritten(const std::string& task,
                             const std::function<void(wire::core_entry&)>& forge) {
    wire::core_entry core = core_;
    forge(core);
    WriteCore(task, core);
    EXPECT_THAT(Judge(), IsOk());
    const wire::core_entry judged = Core(task);
    EXPECT_THAT(Judge(), IsOk());
    EXPECT_EQ(Core(task).SerializeAsString(), judged.SerializeAsString()) << "the second time";
    return judged;
  }

  LiveRules rules_;
  wire::core_entry core_;
  wire::seccomp_entry filters_;
};

TEST_F(JudgeImagesTest, WhatAFreshContainerHoldsStaysByteForByte) {
  const std::vector<std::string> names = {"core-1.img",   "core-2.img", "core-7.img",
                                          "seccomp.img",  "files.img",  "mountpoints-13.img",
                                          "inventory.img"};
  std::vector<std::string> before;
  for (const std::string& name : names) before.push_back(Text(name));

  ASSERT_THAT(Judge(), IsOk());

  for (size_t i = 0; i < names.size(); ++i) EXPECT_EQ(Text(names[i]), before[i]) << names[i];
}

TEST_F(JudgeImagesTest, WhatIsTooMuchInATaskIsRefusedInEveryTask) {
  using Forge = std::function<void(wire::core_entry&)>;
  const auto creds = [](const std::function<void(wire::creds_entry*)>& forge) -> Forge {
    return [forge](wire::core_entry& core) { forge(core.mutable_thread_core()->mutable_creds()); };
  };
  using Creds = wire::creds_entry;
  const std::vector<std::pair<const char*, Forge>> forgeries = {
      {"user 0", creds([](Creds* c) { c->set_uid(0); })},
      {"user 0", creds([](Creds* c) { c->set_euid(0); })},
      {"user 0", creds([](Creds* c) { c->set_suid(0); })},
      {"user 0", creds([](Creds* c) { c->set_fsuid(0); })},
      {"group 0", creds([](Creds* c) { c->set_gid(0); })},
      {"group 0", creds([](Creds* c) { c->set_egid(0); })},
      {"group 0", creds([](Creds* c) { c->set_sgid(0); })},
      {"group 0", creds([](Creds* c) { c->set_fsgid(0); })},
      {"odd size", creds([](Creds* c) { c->add_cap_prm(1); })},
      {"odd size", creds([](Creds* c) { c->add_cap_eff(1); })},
      {"odd size", creds([](Creds* c) { c->add_cap_inh(1); })},
      {"odd size", creds([](Creds* c) { c->add_cap_bnd(1); })},
      {"odd size", creds([](Creds* c) { c->add_cap_amb(1); })},
      {"not there", [](auto& core) { core.mutable_thread_core()->set_seccomp_filter(2); }},
      {"without credentials", [](auto& core) { core.mutable_thread_core()->clear_creds(); }},
      {"personality 0x400000", [](auto& core) { core.mutable_tc()->set_personality(0x400000); }},
      {"older than", [](auto& core) { core.mutable_tc()->set_old_seccomp_mode(0); }},
      {"older than", [](auto& core) { core.mutable_tc()->set_old_seccomp_filter(0); }},
      {"resources",
       [](auto& core) {
         *core.mutable_tc()->mutable_rlimits()->add_rlimits() = core.tc().rlimits().rlimits(0);
       }},
      {"another version", [](auto& core) { core.mutable_unknown_fields()->append(kUnknownField); }},
      {"another version",
       [](auto& core) { core.mutable_tc()->mutable_unknown_fields()->append(kUnknownField); }},
      {"another version",
       [](auto& core) {
         core.mutable_thread_core()->mutable_unknown_fields()->append(kUnknownField);
       }},
      {"another version",
       creds([](Creds* c) { c->mutable_unknown_fields()->append(kUnknownField); })},
  };
  for (const std::string task : {"1", "2", "7"}) {
    for (const auto& [reason, forge] : forgeries) {
      wire::core_entry core = core_;
      forge(core);
      // What a field that is left out would be lost with.
      Write("core-" + task + ".img", ImageOf(kCoreMagic, std::vector{core}));

      const Status judged = Judge();

      EXPECT_FALSE(judged.ok()) << "task " << task << ": " << reason;
      EXPECT_THAT(judged.message(), HasSubstr("core-" + task + ".img"));
      EXPECT_THAT(judged.message(), HasSubstr(reason));
      WriteCore(task, core_);
    }
  }
  EXPECT_THAT(Judge(), IsOk());
}

TEST_F(JudgeImagesTest, OneThatWasStoppedIsRefusedWhereItWouldBeLetRun) {
  core_.mutable_tc()->set_task_state(3);
  WriteCore("7", core_);
  EXPECT_THAT(Judge(), IsOk());

  rules_.wakes_stopped = "CRIU loads no plugin";

  const Status judged = Judge();
  EXPECT_THAT(judged, StatusIs(Code::kFailedPrecondition,
                               AllOf(HasSubstr("core-7.img"), HasSubstr("CRIU loads no plugin"))));
  EXPECT_EQ(judged.reason(), Reason::kProcessStopped);
}

TEST_F(JudgeImagesTest, CapabilitySetsAreCutToThoseOfAFreshContainer) {
  rules_.uid = rules_.gid = 0;
  rules_.permitted = Bit("CAP_CHOWN") | Bit("CAP_KILL");
  rules_.bounding = rules_.permitted | Bit("CAP_SETUID");
  rules_.inheritable = Bit("CAP_FOWNER");
  core_.mutable_thread_core()->mutable_creds()->CopyFrom(Credentials(0, 0, 0));
  for (const char* task : {"1", "2", "7"}) WriteCore(task, core_);

  const wire::creds_entry cut =
      Rewritten("1",
                [](wire::core_entry& core) {
                  wire::creds_entry* const creds = core.mutable_thread_core()->mutable_creds();
                  for (auto* set : {creds->mutable_cap_prm(), creds->mutable_cap_eff(),
                                    creds->mutable_cap_inh(), creds->mutable_cap_bnd(),
                                    creds->mutable_cap_amb()}) {
                    Set(kAll, set);
                  }
                })
          .thread_core()
          .creds();

  EXPECT_EQ(Mask(cut.cap_prm()), rules_.permitted);
  EXPECT_EQ(Mask(cut.cap_eff()), rules_.permitted);
  EXPECT_EQ(Mask(cut.cap_amb()), rules_.permitted);
  EXPECT_EQ(Mask(cut.cap_inh()), rules_.permitted | rules_.inheritable);
  EXPECT_EQ(Mask(cut.cap_bnd()), rules_.bounding);
}

TEST_F(JudgeImagesTest, ASetIdProgramMayHaveGivenMoreOnlyWhereThePodAllowsIt) {
  rules_.no_new_privs = false;
  const auto as_root = [&](const std::string& task) {
    wire::core_entry core = core_;
    *core.mutable_thread_core()->mutable_creds() =
        Credentials(0, Bit("CAP_SETUID") | Bit("CAP_SETGID"), kBounding);
    WriteCore(task, core);
    const Status judged = Judge();
    WriteCore(task, core_);
    return judged;
  };
  EXPECT_THAT(as_root("7"), StatusIs(Code::kPermissionDenied));

  rules_.allows_set_id = true;
  EXPECT_THAT(as_root("7"), IsOk());
  EXPECT_THAT(as_root("1"), StatusIs(Code::kPermissionDenied)) << "the container's own program";

  rules_.no_new_privs = true;
  EXPECT_THAT(as_root("7"), StatusIs(Code::kPermissionDenied));
}

TEST_F(JudgeImagesTest, WhatTheLiveRequestDecidesIsPutIn) {
  rules_.lsm_label = "runtime/default";
  const wire::core_entry judged = Rewritten("7", [](wire::core_entry& core) {
    wire::creds_entry* const creds = core.mutable_thread_core()->mutable_creds();
    creds->set_no_new_privs(0);
    creds->set_lsm_profile("unconfined");
    creds->set_lsm_sockcreate("system_u:system_r:init_t:s0");
    creds->set_apparmor_data("policy");
    creds->set_secbits(1);
    for (const uint32_t group : {0u, 2000u, 27u, 1000u}) creds->add_groups(group);
    core.mutable_thread_core()->set_sched_policy(SCHED_FIFO);
    core.mutable_thread_core()->set_sched_prio(50);
    core.mutable_thread_core()->set_sched_nice(-20);
    core.mutable_tc()->set_oom_score_adj(-1000);
    core.mutable_tc()->set_loginuid(0);
    for (int i = 0; i < RLIM_NLIMITS; ++i) {
      core.mutable_tc()->mutable_rlimits()->mutable_rlimits(i)->set_max(RLIM_INFINITY);
      core.mutable_tc()->mutable_rlimits()->mutable_rlimits(i)->set_cur(RLIM_INFINITY);
    }
  });

  const wire::creds_entry& creds = judged.thread_core().creds();
  EXPECT_EQ(creds.no_new_privs(), 1u);
  EXPECT_EQ(creds.lsm_profile(), "runtime/default");
  EXPECT_FALSE(creds.has_lsm_sockcreate());
  EXPECT_FALSE(creds.has_apparmor_data());
  EXPECT_EQ(creds.secbits(), 0u);
  EXPECT_THAT(creds.groups(), ElementsAre(2000, 1000));
  EXPECT_EQ(judged.thread_core().sched_policy(), 0u);
  EXPECT_EQ(judged.thread_core().sched_prio(), 0u);
  EXPECT_EQ(judged.thread_core().sched_nice(), 0);
  EXPECT_EQ(judged.tc().oom_score_adj(), 100);
  EXPECT_FALSE(judged.tc().has_loginuid());
  for (const wire::rlimit_entry& limit : judged.tc().rlimits().rlimits()) {
    EXPECT_EQ(limit.max(), 4096u);
    EXPECT_EQ(limit.cur(), 4096u);
  }
}

TEST_F(JudgeImagesTest, WhatAProcessGaveUpItselfStaysGivenUp) {
  const wire::core_entry judged = Rewritten("1", [](wire::core_entry& core) {
    Set(0, core.mutable_thread_core()->mutable_creds()->mutable_cap_bnd());
    core.mutable_tc()->set_oom_score_adj(900);
    core.mutable_thread_core()->set_sched_nice(19);
    core.mutable_tc()->mutable_rlimits()->mutable_rlimits(0)->set_max(7);
    core.mutable_tc()->mutable_rlimits()->mutable_rlimits(0)->set_cur(7);
  });

  EXPECT_EQ(Mask(judged.thread_core().creds().cap_bnd()), 0u);
  EXPECT_EQ(judged.tc().oom_score_adj(), 900);
  EXPECT_EQ(judged.thread_core().sched_nice(), 19);
  EXPECT_EQ(judged.tc().rlimits().rlimits(0).max(), 7u);
}

TEST_F(JudgeImagesTest, MountsGetTheFlagsOfTheLiveOnes) {
  const struct {
    const char* mount_point;
    uint32_t brought;
    uint32_t made;
  } cases[] = {
      {"/data", 0, MS_RDONLY | MS_NODEV},
      {"/data", MS_NOSUID | MS_RELATIME, MS_RDONLY | MS_NODEV | MS_RELATIME},
      {"/", MS_RDONLY | MS_NOEXEC, 0},
      {"/proc/sys", MS_NOSUID, MS_RDONLY | MS_NOSUID},
      {"/elsewhere", MS_NOSUID, MS_NOSUID},
  };
  for (const auto& [mount_point, brought, made] : cases) {
    WriteMount(mount_point, brought);

    ASSERT_THAT(Judge(), IsOk());

    EXPECT_EQ(Entries<wire::mnt_entry>("mountpoints-13.img", kMountsMagic).at(0).flags(), made)
        << mount_point;
  }
}

TEST_F(JudgeImagesTest, AMountOfAPluginOrWithAnUnknownFieldIsRefused) {
  wire::mnt_entry mount;
  mount.set_mountpoint("/data");
  mount.set_with_plugin(true);
  Write("mountpoints-13.img", ImageOf(kMountsMagic, std::vector{mount}));
  EXPECT_THAT(Judge(), StatusIs(Code::kPermissionDenied, HasSubstr("plugin")));

  mount.clear_with_plugin();
  mount.mutable_unknown_fields()->append(kUnknownField);
  Write("mountpoints-13.img", ImageOf(kMountsMagic, std::vector{mount}));
  EXPECT_THAT(Judge(), StatusIs(Code::kPermissionDenied, HasSubstr("another version")));
}

TEST_F(JudgeImagesTest, ChainsOfFiltersEndAndHandNoCallToASupervisor) {
  filters_.mutable_seccomp_filters(0)->set_prev(1);
  WriteFilters();
  EXPECT_THAT(Judge(), StatusIs(Code::kDataLoss, HasSubstr("does not end")));

  filters_.mutable_seccomp_filters(0)->clear_prev();
  for (const uint32_t flag : {8u, 16u, 32u, 1u << 31}) {
    filters_.mutable_seccomp_filters(0)->set_flags(flag);
    WriteFilters();
    EXPECT_THAT(Judge(), StatusIs(Code::kPermissionDenied, HasSubstr("supervisor"))) << flag;
  }
  filters_.mutable_seccomp_filters(0)->set_flags(1 | 2 | 4);
  WriteFilters();
  EXPECT_THAT(Judge(), IsOk());
}

TEST_F(JudgeImagesTest, DescriptorsThatNeedRightsAreThoseOfWhoHasThem) {
  const struct {
    std::function<void(wire::file_entry&)> forge;
    const char* capability;  // that allows it; nullptr: none does
  } cases[] = {
      {[](auto& file) {
         file.set_type(4);
         file.mutable_isk()->set_type(SOCK_RAW);
       },
       "CAP_NET_RAW"},
      {[](auto& file) { file.set_type(10); }, "CAP_NET_RAW"},
      {[](auto& file) { file.set_type(15); }, "CAP_NET_ADMIN"},
      {[](auto& file) { file.set_type(16); }, nullptr},
      {[](auto& file) { file.set_type(19); }, nullptr},
      {[](auto& file) { file.set_type(0); }, nullptr},
      {[](auto& file) { file.set_type(21); }, nullptr},
      {[](auto& file) { file.set_type(65535); }, nullptr},
  };
  for (const auto& [forge, capability] : cases) {
    WriteFile(forge);
    rules_.bounding = capability != nullptr ? kAll & ~Bit(capability) : kAll;
    EXPECT_THAT(Judge(), StatusIs(Code::kPermissionDenied, HasSubstr("files.img")));
    if (capability == nullptr) continue;
    rules_.bounding = Bit(capability);
    EXPECT_THAT(Judge(), IsOk()) << capability;
  }
}

TEST_F(JudgeImagesTest, OnlyImagesThatCriuWritesOfAContainerAreTaken) {
  for (const char* name :
       {"core-12.img", "pages-1.img", "pagemap-shmem-24.img", "ghost-file-1f.img", "memfd.img",
        "tmpfs-81.tar.gz.img", "tmpfs-dev-76.tar.gz.img", "descriptors.json", "cryopod-fill",
        "cryopod-pages-1", "netns-10.img", "ipcns-var-11.img", "cgroup.img"}) {
    EXPECT_TRUE(IsImageOfContainer(name, rules_)) << name;
  }
  for (const char* name : {"apparmor.img",      "autofs-3.img",    "binfmt-misc.img",
                           "binfmt-misc-4.img", "bpfmap-file.img", "bpfmap-data.img",
                           "userns-1.img",      "creds-1.img",     "rlimit-1.img",
                           "tcp-stream-5.img",  "reg-files.img",   "signal-s-1.img",
                           "iptables-10.img",   "netdev-10.img",   "route-10.img",
                           "core-.img",         "core-1.img.bak",  "core-x.img",
                           "tmpfs-1.tar.img",   "irmap-cache.img", ""}) {
    EXPECT_FALSE(IsImageOfContainer(name, rules_)) << name;
  }
  Write("apparmor.img", "x");
  EXPECT_THAT(Judge(), StatusIs(Code::kPermissionDenied, HasSubstr("apparmor.img")));

  rules_.bounding = kAll;
  EXPECT_TRUE(IsImageOfContainer("iptables-10.img", rules_)) << "of a namespace that it could make";
}

TEST_F(JudgeImagesTest, TheSecurityModuleOfTheArchivesNodeIsForgotten) {
  WriteInventory(2);

  ASSERT_THAT(Judge(), IsOk());

  const std::string family = Number(kCommonImageMagic);
  Result<EntryReader> reader =
      EntryReader::Of(family + Text("inventory.img"), "inventory.img", kInventoryMagic);
  ASSERT_THAT(reader, IsOk());
  wire::inventory_entry inventory;
  ASSERT_THAT(reader->Next(&inventory), IsOk());
  EXPECT_EQ(inventory.lsmtype(), 0u);
  EXPECT_EQ(inventory.img_version(), 2u);
}

TEST_F(JudgeImagesTest, AnythingCutOffIsRefused) {
  for (const std::string name :
       {"core-1.img", "core-2.img", "core-7.img", "seccomp.img", "files.img", "mountpoints-13.img",
        "inventory.img", "pstree.img"}) {
    const std::string whole = Text(name);
    for (size_t size = 0; size < whole.size(); ++size) {
      // Without any entry, these two are the images of a container without files or mounts.
      if (size == 8 && (name == "files.img" || name == "mountpoints-13.img")) continue;
      if (name == "pstree.img" && size > 8)
        continue;  // a whole process fewer is a smaller container
      Write(name, whole.substr(0, size));
      EXPECT_FALSE(Judge().ok()) << name << " of " << size << " bytes";
    }
    Write(name, whole);
  }
  EXPECT_THAT(Judge(), IsOk());
}

TEST(LiveRulesTest, ComeBackAsTheyWere) {
  LiveRules rules;
  rules.uid = 1000;
  rules.groups = {1, 2};
  rules.bounding = kAll;
  rules.oom_score_adj = -998;
  rules.hard_limits = {RLIM_INFINITY, 0};
  rules.lsm_label = "a \"b\"";
  rules.allows_set_id = true;
  rules.seccomp_filters = {{{1, ~uint64_t{0}}, 2}, {{}, 0}};
  rules.mounts = {{"/a b\n/c", MS_RDONLY, true}};
  rules.remade = {{RemadeKind::kFile, "/etc/hosts"},
                  {RemadeKind::kSubPath, "/a b\n/c"},
                  {RemadeKind::kVolume, "/config"}};

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const LiveRules parsed, ParseLiveRules(FormatLiveRules(rules)));
  EXPECT_EQ(parsed, rules);

  EXPECT_THAT(ParseLiveRules("{}"), StatusIs(Code::kDataLoss));
  rules.mounts = {{"relative", 0, false}};
  EXPECT_THAT(ParseLiveRules(FormatLiveRules(rules)), StatusIs(Code::kDataLoss));
}

}  // namespace
}  // namespace cryopod::criu
