#include "restore/runtime/programs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "agent/os/file.h"
#include "agent/os/text.h"

namespace cryopod::wrapper {
namespace {

constexpr char kUsualPath[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr char kSelf[] = "/proc/self/exe";

bool IsProgram(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
         ::access(path.c_str(), X_OK) == 0;
}

// A program in libexec/cryopod of the tree that this one is installed in.
Result<std::string> FindInstalled(const std::string& name, const std::string& what) {
  CRYOPOD_ASSIGN_OR_RETURN(std::string path, ReadLinkAt(AT_FDCWD, kSelf));
  for (int up = 0; up < 2; ++up) path.resize(path.rfind('/'));
  path += "/libexec/cryopod/" + name;
  if (!IsProgram(path)) return Status(Code::kNotFound, "no " + what + " at " + path);
  return path;
}

}  // namespace

Result<std::string> FindProgram(const std::string& name) {
  if (name.find('/') != std::string::npos) {
    if (!IsProgram(name)) return Status(Code::kNotFound, "no program at " + name);
    if (IsSameFile(name, kSelf)) {
      return Status(Code::kNotFound, name + " is cryopod-runtime itself");
    }
    return name;
  }
  const char* const in_path = std::getenv("PATH");
  const std::string directories = in_path != nullptr && *in_path != 0 ? in_path : kUsualPath;
  for (const std::string_view directory : Split(directories, ':')) {
    const std::string path = std::string(directory) + "/" + name;
    if (IsProgram(path) && !IsSameFile(path, kSelf)) return path;
  }
  return Status(Code::kNotFound, "no program " + name + " in " + directories);
}

Result<std::string> FindLauncherDirectory() {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string criu, FindInstalled("launcher/criu", "launcher"));
  return criu.substr(0, criu.rfind('/'));
}

Result<std::string> FindFinishedProgram() { return FindInstalled("cryopod-finished", "program"); }

Status Execute(const std::string& program, const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  argv.push_back(const_cast<char*>(program.c_str()));
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  ::execv(program.c_str(), argv.data());
  return ErrnoStatus(errno, "execve", program);
}

}  // namespace cryopod::wrapper
