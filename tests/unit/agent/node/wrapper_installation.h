#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <string>

#include "tests/support/read_text.h"
#include "tests/support/temp_directory.h"

namespace cryopod::node::test {

// The real cryopod-runtime installed in a prefix of its own. The runc that it calls is a script in
// front of it in PATH's stead: runtime.conf names it, by way of the environment.
class WrapperInstallation {
 public:
  WrapperInstallation() {
    for (const char* folder : {"bin", "libexec/cryopod/launcher"}) {
      std::filesystem::create_directories(temp_.path() / folder);
    }
    std::filesystem::copy_file(CRYOPOD_RUNTIME_PROGRAM, program());
    std::filesystem::copy_file(CRYOPOD_LAUNCHER_PROGRAM, launcher());
    WriteRunc("echo 'runc version 1.3.6'");
    Configure("");
    ::setenv("CRYOPOD_RUNTIME_CONFIG", config().c_str(), 1);
  }
  ~WrapperInstallation() { ::unsetenv("CRYOPOD_RUNTIME_CONFIG"); }

  std::string program() const { return temp_.path() / "bin/cryopod-runtime"; }
  std::string launcher() const { return temp_.path() / "libexec/cryopod/launcher/criu"; }
  std::string runc() const { return temp_.path() / "runc"; }
  std::string config() const { return temp_.path() / "runtime.conf"; }

  void Configure(const std::string& more) const {
    cryopod::test::WriteText(config(), "runtime=" + runc() + "\n" + more);
  }
  void WriteRunc(const std::string& body) const {
    cryopod::test::WriteText(runc(), "#!/bin/sh\n" + body + "\n");
    ::chmod(runc().c_str(), 0755);
  }

 private:
  cryopod::test::TempDirectory temp_;
};

}  // namespace cryopod::node::test
