#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "agent/ctl/install/change_report.h"
#include "agent/ctl/install/node_paths.h"
#include "agent/os/file.h"
#include "tests/support/read_text.h"
#include "tests/support/temp_directory.h"

namespace cryopod::test {

// A node in a folder: an installed tree under an odd prefix, folders for all that is changed, and
// in place of the node's own programs scripts that keep accounts in files and note their calls.
class NodeFixture : public testing::Test {
 protected:
  NodeFixture() : path_before_(::getenv("PATH")) {
    namespace fs = std::filesystem;
    paths_.prefix = Path("odd place/cryo pod");
    paths_.containerd_config = Path("etc/containerd/config.toml");
    paths_.agent.containerd_socket = Path("no.sock");
    paths_.etc_dir = Path("etc/cryopod");
    paths_.unit_dir = Path("etc/systemd/system");
    paths_.systemd_mark = Path("run/systemd");
    paths_.record_dir = paths_.agent.state_dir = Path("var/lib/cryopod");
    paths_.agent.run_dir = Path("run/cryopod");
    for (const char* folder : {"etc/containerd", "etc/systemd/system", "var/lib", "run", "programs",
                               "accounts/group", "accounts/passwd"}) {
      fs::create_directories(Path(folder));
    }
    for (const std::string& program :
         {paths_.agent_program(), paths_.runtime_program(), paths_.gateway_program()}) {
      fs::create_directories(fs::path(program).parent_path());
      WriteProgram(program, "");
    }
    fs::create_directories(paths_.share_dir());
    fs::copy(CRYOPOD_MANIFESTS, paths_.share_dir(), fs::copy_options::recursive);
    WritePrograms();
    ::setenv("PATH", Path("programs").c_str(), 1);
  }
  ~NodeFixture() override { ::setenv("PATH", path_before_.c_str(), 1); }

  std::string Path(const std::string& name) const { return temp_.path() / name; }

  void StartSystemd() { std::filesystem::create_directories(paths_.systemd_mark); }

  // A command with its report, which is then what it `said_`.
  template <typename Command>
  Status Run(const Command& command) {
    const UniqueFd out(::open(Path("said").c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    terminal::Console console;
    console.out = out.get();
    ctl::ChangeReport report(console, terminal::Form::kText);
    Status status = command(report);
    said_ = ReadText(Path("said"));
    return status;
  }

  // The calls of the node's programs so far, each a line.
  std::string calls() const {
    return std::filesystem::exists(Path("calls")) ? ReadText(Path("calls")) : "";
  }

  // Every file of the node with its content and mode, but what the fixture itself keeps.
  std::map<std::string, std::string> Files() const {
    std::map<std::string, std::string> files;
    for (const char* top : {"etc", "var", "run", "accounts"}) {
      for (const auto& entry : std::filesystem::recursive_directory_iterator(Path(top))) {
        struct stat info {};
        EXPECT_EQ(::lstat(entry.path().c_str(), &info), 0);
        files[entry.path()] = std::to_string(info.st_mode) + " " +
                              (entry.is_regular_file() ? ReadText(entry.path()) : "");
      }
    }
    return files;
  }

  void WriteProgram(const std::string& path, const std::string& script) {
    WriteText(path, "#!/bin/sh\n" + script);
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  }

  void WritePrograms() {
    const std::string note = "echo \"${0##*/} $*\" >>'" + Path("calls") + "'\n";
    const std::string last = "for last; do :; done\n";
    const std::string accounts = "'" + Path("accounts") + "'";
    const auto write = [this](const std::string& name, const std::string& script) {
      WriteProgram(Path("programs/" + name), script);
    };
    write("getent", "[ -e " + accounts + "/\"$1/$2\" ] || exit 2\n");
    write("groupadd", note + last + ": >" + accounts + "/group/$last\n");
    write("useradd", note + last + ": >" + accounts + "/passwd/$last\n");
    write("groupdel", note + "/bin/rm " + accounts + "/group/$1\n");
    // As shadow's does it: the group of that name goes, too.
    write("userdel", note + "/bin/rm " + accounts + "/passwd/$1 " + accounts + "/group/$1\n");
    write("systemctl", note);
    write("containerd", "[ \"$3 $4\" = 'config dump' ] && echo '[runtimes.cryopod]'\n");
  }

  TempDirectory temp_;
  std::string said_;
  ctl::NodePaths paths_;

 private:
  const std::string path_before_;
};

}  // namespace cryopod::test
