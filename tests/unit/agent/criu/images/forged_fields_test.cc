// Every field that restore/image_fields.md says is checked or rewritten, forged: what comes of it
// is refused, or byte for byte the images of a fresh container.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent/criu/images/judge_images.h"
#include "agent/criu/images/rewrite_images.h"
#include "agent/os/text.h"
#include "image_bytes.h"

namespace cryopod::criu {
namespace {

using test::ImageOf;
using test::Process;
using test::Regular;

constexpr uint64_t kPermitted = 0x20;     // CAP_KILL
constexpr uint64_t kInheritable = 0x400;  // CAP_NET_BIND_SERVICE
constexpr uint64_t kBounding = 0x422;
constexpr uint64_t kHardLimit = 4096;
constexpr uint32_t kShared = 1;  // SECCOMP_FILTER_FLAG_TSYNC
// Field 3000 of whatever message, a varint.
const std::string kUnknownField("\xc0\xbb\x01\x01", 4);

using Words = google::protobuf::RepeatedField<uint32_t>;

void Set(uint64_t mask, Words* set) {
  set->Clear();
  set->Add(static_cast<uint32_t>(mask));
  set->Add(static_cast<uint32_t>(mask >> 32));
}

// All that a fresh container of the rules may hold, and nothing that would be taken from it.
struct Images {
  std::map<pid_t, wire::core_entry> tasks;  // two processes, one with a second thread
  wire::seccomp_entry filters;
  wire::mnt_entry mount;
  wire::file_entry file;
  wire::inventory_entry inventory;
};

wire::core_entry Task(bool is_first) {
  wire::core_entry core;
  core.set_mtype(1);
  wire::thread_core_entry* const thread = core.mutable_thread_core();
  wire::creds_entry* const creds = thread->mutable_creds();
  for (const auto set :
       {&wire::creds_entry::set_uid, &wire::creds_entry::set_euid, &wire::creds_entry::set_suid,
        &wire::creds_entry::set_fsuid, &wire::creds_entry::set_gid, &wire::creds_entry::set_egid,
        &wire::creds_entry::set_sgid, &wire::creds_entry::set_fsgid}) {
    (creds->*set)(1000);
  }
  creds->add_groups(2000);
  Set(kPermitted | kInheritable, creds->mutable_cap_inh());
  for (Words* const set :
       {creds->mutable_cap_prm(), creds->mutable_cap_eff(), creds->mutable_cap_amb()}) {
    Set(kPermitted, set);
  }
  Set(kBounding, creds->mutable_cap_bnd());
  creds->set_secbits(0);
  creds->set_no_new_privs(1);
  creds->set_lsm_profile("runtime/default");
  thread->set_sched_policy(0);
  thread->set_sched_prio(0);
  thread->set_sched_nice(0);
  thread->set_seccomp_mode(is_first ? 2 : 0);
  if (!is_first) return core;
  thread->set_seccomp_filter(0);
  core.mutable_tc()->set_comm("program");
  core.mutable_tc()->set_personality(0);
  core.mutable_tc()->set_oom_score_adj(100);
  for (int i = 0; i < RLIM_NLIMITS; ++i) {
    wire::rlimit_entry* const limit = core.mutable_tc()->mutable_rlimits()->add_rlimits();
    limit->set_cur(kHardLimit);
    limit->set_max(kHardLimit);
  }
  return core;
}

Images Sound() {
  Images images;
  images.tasks = {{1, Task(true)}, {2, Task(false)}, {7, Task(true)}};
  wire::seccomp_filter* const filter = images.filters.add_seccomp_filters();
  filter->set_filter(std::string(8, '\0'));
  filter->set_flags(kShared);
  images.mount.set_mountpoint("/data");
  images.mount.set_flags(MS_RDONLY | MS_NODEV);
  images.file = Regular(1, "/elsewhere");
  images.inventory.set_img_version(2);
  images.inventory.set_lsmtype(0);
  return images;
}

LiveRules Rules() {
  LiveRules rules;
  rules.uid = rules.gid = 1000;
  rules.groups = {2000};
  rules.permitted = kPermitted;
  rules.inheritable = kInheritable;
  rules.bounding = kBounding;
  rules.no_new_privs = true;
  rules.seccomp_filters = {SeccompFilter{.program = {0}}};
  rules.oom_score_adj = 100;
  rules.hard_limits.assign(RLIM_NLIMITS, kHardLimit);
  rules.lsm_label = "runtime/default";
  rules.wakes_stopped = "there is no plugin";
  rules.mounts = {{"/data", MS_RDONLY | MS_NODEV, false}};
  rules.remade = {{RemadeKind::kSubPath, "/data"}};
  return rules;
}

struct Case {
  std::string field;  // "message.field" of the table
  std::function<void(Images&)> forge;
};

using Cases = std::vector<Case>;

// In each of the tasks by itself.
void InEveryTask(Cases* cases, const std::string& field,
                 const std::function<void(wire::core_entry*)>& forge) {
  for (const pid_t task : {1, 2, 7}) {
    cases->push_back({field, [=](Images& images) { forge(&images.tasks.at(task)); }});
  }
}

void AddCredentials(Cases* cases) {
  using Creds = wire::creds_entry;
  const auto add = [&](const std::string& field, const std::function<void(Creds*)>& forge) {
    InEveryTask(cases, "creds_entry." + field,
                [=](auto* core) { forge(core->mutable_thread_core()->mutable_creds()); });
  };
  add("uid", [](Creds* c) { c->set_uid(0); });
  add("euid", [](Creds* c) { c->set_euid(0); });
  add("suid", [](Creds* c) { c->set_suid(0); });
  add("fsuid", [](Creds* c) { c->set_fsuid(0); });
  add("gid", [](Creds* c) { c->set_gid(0); });
  add("egid", [](Creds* c) { c->set_egid(0); });
  add("sgid", [](Creds* c) { c->set_sgid(0); });
  add("fsgid", [](Creds* c) { c->set_fsgid(0); });
  add("groups", [](Creds* c) { c->add_groups(0); });
  const std::vector<std::pair<const char*, Words* (Creds::*)()>> sets = {
      {"cap_inh", &Creds::mutable_cap_inh},
      {"cap_prm", &Creds::mutable_cap_prm},
      {"cap_eff", &Creds::mutable_cap_eff},
      {"cap_bnd", &Creds::mutable_cap_bnd},
      {"cap_amb", &Creds::mutable_cap_amb}};
  for (const auto& [field, set] : sets) {
    add(field, [=](Creds* c) { Set(~uint64_t{0}, (c->*set)()); });
    add(field, [=](Creds* c) { (c->*set)()->Add(1); });
    add(field, [=](Creds* c) { (c->*set)()->Truncate(1); });
  }
  add("secbits", [](Creds* c) { c->set_secbits(1); });
  add("lsm_profile", [](Creds* c) { c->set_lsm_profile("unconfined"); });
  add("lsm_profile", [](Creds* c) { c->clear_lsm_profile(); });
  add("lsm_sockcreate", [](Creds* c) { c->set_lsm_sockcreate("system_u:system_r:init_t:s0"); });
  add("apparmor_data", [](Creds* c) { c->set_apparmor_data("policy"); });
  add("no_new_privs", [](Creds* c) { c->set_no_new_privs(0); });
  add("no_new_privs", [](Creds* c) { c->clear_no_new_privs(); });
}

void AddThreads(Cases* cases) {
  using Thread = wire::thread_core_entry;
  const auto add = [&](const std::string& field, const std::function<void(Thread*)>& forge) {
    InEveryTask(cases, field, [=](auto* core) { forge(core->mutable_thread_core()); });
  };
  add("core_entry.thread_core",
      [](Thread* t) { t->mutable_unknown_fields()->append(kUnknownField); });
  add("thread_core_entry.creds", [](Thread* t) { t->clear_creds(); });
  add("thread_core_entry.creds",
      [](Thread* t) { t->mutable_creds()->mutable_unknown_fields()->append(kUnknownField); });
  add("thread_core_entry.sched_nice", [](Thread* t) { t->set_sched_nice(-20); });
  for (const uint32_t policy : {1u, 2u, 6u}) {
    add("thread_core_entry.sched_policy", [=](Thread* t) { t->set_sched_policy(policy); });
  }
  add("thread_core_entry.sched_prio", [](Thread* t) {
    t->set_sched_policy(1);
    t->set_sched_prio(50);
  });
  add("thread_core_entry.seccomp_filter", [](Thread* t) {
    t->set_seccomp_mode(2);
    t->set_seccomp_filter(1);
  });
  add("thread_core_entry.seccomp_mode", [](Thread* t) { t->set_seccomp_mode(3); });
  cases->push_back({"thread_core_entry.seccomp_mode", [](Images& images) {
                      images.filters.Clear();
                      for (auto& [number, task] : images.tasks) {
                        task.mutable_thread_core()->set_seccomp_mode(0);
                        task.mutable_thread_core()->clear_seccomp_filter();
                      }
                    }});
}

void AddProcesses(Cases* cases) {
  using Process = wire::task_core_entry;
  const auto add = [&](const std::string& field, const std::function<void(Process*)>& forge) {
    for (const pid_t task : {1, 7}) {
      cases->push_back({field, [=](Images& images) { forge(images.tasks.at(task).mutable_tc()); }});
    }
  };
  add("core_entry.tc", [](Process* p) { p->mutable_unknown_fields()->append(kUnknownField); });
  add("task_core_entry.task_state", [](Process* p) { p->set_task_state(3); });
  for (const uint32_t personality : {0x400000u, 0x40000u, 0x8000000u}) {
    add("task_core_entry.personality", [=](Process* p) { p->set_personality(personality); });
  }
  add("task_core_entry.old_seccomp_mode", [](Process* p) { p->set_old_seccomp_mode(0); });
  add("task_core_entry.old_seccomp_filter", [](Process* p) { p->set_old_seccomp_filter(0); });
  add("task_core_entry.loginuid", [](Process* p) { p->set_loginuid(0); });
  add("task_core_entry.oom_score_adj", [](Process* p) { p->set_oom_score_adj(-1000); });
  add("task_core_entry.oom_score_adj", [](Process* p) { p->clear_oom_score_adj(); });
  add("task_core_entry.rlimits",
      [](Process* p) { p->mutable_rlimits()->mutable_unknown_fields()->append(kUnknownField); });
  add("task_rlimits_entry.rlimits",
      [](Process* p) { *p->mutable_rlimits()->add_rlimits() = p->rlimits().rlimits(0); });
  for (int i = 0; i < RLIM_NLIMITS; ++i) {
    add("rlimit_entry.cur",
        [=](Process* p) { p->mutable_rlimits()->mutable_rlimits(i)->set_cur(RLIM_INFINITY); });
    add("rlimit_entry.max",
        [=](Process* p) { p->mutable_rlimits()->mutable_rlimits(i)->set_max(RLIM_INFINITY); });
  }
}

void AddFilters(Cases* cases) {
  const auto add = [&](const std::string& field,
                       const std::function<void(wire::seccomp_entry*)>& forge) {
    cases->push_back({field, [=](Images& images) { forge(&images.filters); }});
  };
  add("seccomp_entry.seccomp_filters", [](auto* filters) { filters->clear_seccomp_filters(); });
  add("seccomp_entry.seccomp_filters",
      [](auto* filters) { filters->mutable_unknown_fields()->append(kUnknownField); });
  for (const uint32_t number : {0u, 1u, UINT32_MAX}) {
    add("seccomp_filter.prev",
        [=](auto* filters) { filters->mutable_seccomp_filters(0)->set_prev(number); });
  }
  // SECCOMP_FILTER_FLAG_NEW_LISTENER, TSYNC_ESRCH, WAIT_KILLABLE_RECV, one that is not known
  for (const uint32_t flag : {8u, 16u, 32u, 1u << 31}) {
    add("seccomp_filter.flags",
        [=](auto* filters) { filters->mutable_seccomp_filters(0)->set_flags(kShared | flag); });
  }
}

void AddMounts(Cases* cases) {
  const auto add = [&](const std::string& field,
                       const std::function<void(wire::mnt_entry*)>& forge) {
    cases->push_back({"mnt_entry." + field, [=](Images& images) { forge(&images.mount); }});
  };
  for (const int flags : {0, int{MS_RDONLY}, int{MS_NODEV}, MS_RDONLY | MS_NODEV | MS_NOEXEC}) {
    add("flags", [=](auto* mount) { mount->set_flags(static_cast<uint32_t>(flags)); });
  }
  add("with_plugin", [](auto* mount) { mount->set_with_plugin(true); });
  add("deleted", [](auto* mount) { mount->set_deleted(true); });
}

void AddFiles(Cases* cases) {
  const auto add = [&](const std::string& field, uint32_t type) {
    cases->push_back({"file_entry." + field, [=](Images& images) { images.file.set_type(type); }});
  };
  for (const uint32_t unknown : {0u, 21u, 65535u}) add("type", unknown);
  add("psk", 10);
  add("tunf", 15);
  add("ext", 16);
  add("bpf", 19);
  cases->push_back({"file_entry.isk", [](Images& images) {
                      images.file.set_type(4);
                      images.file.mutable_isk()->set_type(SOCK_RAW);
                    }});
}

Cases AllCases() {
  Cases cases;
  AddCredentials(&cases);
  AddThreads(&cases);
  AddProcesses(&cases);
  AddFilters(&cases);
  AddMounts(&cases);
  AddFiles(&cases);
  for (const uint32_t module : {1u, 2u, 3u}) {
    cases.push_back(
        {"inventory_entry.lsmtype", [=](Images& images) { images.inventory.set_lsmtype(module); }});
  }
  return cases;
}

// "message.field" of each that a row says is checked or rewritten.
std::set<std::string> FieldsOfTheTable() {
  std::set<std::string> fields;
  const std::string table = cryopod::test::ReadText(CRYOPOD_IMAGE_FIELDS);
  for (const std::string_view line : SplitLines(table)) {
    const std::vector<std::string_view> cells = Split(line, '|');
    if (cells.size() < 5 || (cells[3] != " checked " && cells[3] != " rewritten ")) continue;
    const std::vector<std::string_view> message = SplitWords(cells[1]);
    for (std::string_view field : SplitWords(cells[2])) {
      if (field.ends_with(',')) field.remove_suffix(1);
      fields.insert(std::string(message.at(0)) + "." + std::string(field));
    }
  }
  return fields;
}

class ForgedFieldsTest : public test::ImagesTest {
 protected:
  void WriteImages(const Images& images) const {
    Write("pstree.img",
          ImageOf(test::kPstreeMagic, std::vector{Process(1, 0, {1, 2}), Process(7, 1, {7})}));
    for (const auto& [number, task] : images.tasks) {
      Write("core-" + std::to_string(number) + ".img", ImageOf(kCoreMagic, std::vector{task}));
    }
    Write("seccomp.img", ImageOf(kSeccompMagic, std::vector{images.filters}));
    Write("mountpoints-13.img", ImageOf(kMountsMagic, std::vector{images.mount}));
    Write("files.img", ImageOf(kFilesMagic, std::vector{images.file}));
    Write("inventory.img",
          ImageOf(kInventoryMagic, std::vector{images.inventory}).substr(sizeof(uint32_t)));
  }
  // As cryopod-unpack does.
  Status Judge() const {
    const LiveRules rules = Rules();
    const Status rewritten = RewriteImages(dir_.get(), rules.remade);
    return rewritten.ok() ? JudgeImages(dir_.get(), rules) : rewritten;
  }
  std::map<std::string, std::string> Bytes() const {
    std::map<std::string, std::string> bytes;
    for (const auto& file : std::filesystem::directory_iterator(temp_.path())) {
      bytes[file.path().filename()] = Text(file.path().filename());
    }
    return bytes;
  }
};

TEST_F(ForgedFieldsTest, EveryFieldThatTheTableSaysIsCheckedOrRewrittenIsForgedHere) {
  std::set<std::string> forged;
  for (const Case& one : AllCases()) forged.insert(one.field);

  EXPECT_EQ(forged, FieldsOfTheTable());
  EXPECT_GE(forged.size(), 40u) << "the table has been read";
}

TEST_F(ForgedFieldsTest, WhatIsForgedIsRefusedOrMadeThatOfAFreshContainer) {
  WriteImages(Sound());
  const auto sound = Bytes();
  ASSERT_THAT(Judge(), cryopod::test::IsOk());
  ASSERT_EQ(Bytes(), sound) << "what a fresh container holds stays";
  int refused = 0;
  int rewritten = 0;
  for (const Case& one : AllCases()) {
    SCOPED_TRACE(one.field);
    Images images = Sound();
    one.forge(images);
    WriteImages(images);
    ASSERT_NE(Bytes(), sound) << "nothing is forged";

    const Status judged = Judge();

    if (judged.ok()) {
      EXPECT_EQ(Bytes(), sound);
      ++rewritten;
      continue;
    }
    EXPECT_TRUE(judged.code() == Code::kPermissionDenied || judged.code() == Code::kDataLoss ||
                judged.reason() == Reason::kProcessStopped)
        << judged.message();
    ++refused;
  }
  EXPECT_GE(refused + rewritten, 60);
  std::printf("forged images refused or rewritten: %d (%d refused, %d rewritten)\n",
              refused + rewritten, refused, rewritten);
}

}  // namespace
}  // namespace cryopod::criu
