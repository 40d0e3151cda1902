#include "restore/runtime/programs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <utility>

#include "agent/os/file.h"
#include "agent/os/text.h"

namespace cryopod::wrapper {
namespace {

constexpr char kUsualPath[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr char kSelf[] = "/proc/self/exe";

bool IsThisProgram(const std::string& path) { return IsSameFile(path, kSelf); }

bool IsProgram(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
         ::access(path.c_str(), X_OK) == 0;
}

// Of the tree that this program is installed in.
Result<std::string> FindLibexec() {
  CRYOPOD_ASSIGN_OR_RETURN(std::string path, ReadLinkAt(AT_FDCWD, kSelf));
  for (int up = 0; up < 2; ++up) path.resize(path.rfind('/'));
  return path + "/libexec/cryopod";
}

}  // namespace

Result<std::string> FindProgram(const std::string& name, const std::string& search_path) {
  if (name.find('/') != std::string::npos) {
    if (!IsProgram(name)) return Status(Code::kNotFound, "no program at " + name);
    if (IsThisProgram(name)) return Status(Code::kNotFound, name + " is cryopod-runtime itself");
    return name;
  }
  const std::string directories = search_path.empty() ? kUsualPath : search_path;
  for (const std::string_view directory : Split(directories, ':')) {
    const std::string path = std::string(directory) + "/" + name;
    if (IsProgram(path) && !IsThisProgram(path)) return path;
  }
  return Status(Code::kNotFound, "no program " + name + " in " + directories);
}

Result<std::string> FindLauncherDirectory() {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string libexec, FindLibexec());
  const std::string path = libexec + "/launcher";
  if (!IsProgram(path + "/criu"))
    return Status(Code::kNotFound, "no launcher at " + path + "/criu");
  return path;
}

Result<std::string> FindFinishedProgram() {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string libexec, FindLibexec());
  const std::string path = libexec + "/cryopod-finished";
  if (!IsProgram(path)) return Status(Code::kNotFound, "no program at " + path);
  return path;
}

Status Execute(const std::string& program, const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  argv.push_back(const_cast<char*>(program.c_str()));
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  ::execv(program.c_str(), argv.data());
  return ErrnoStatus(errno, "execve", program);
}

}  // namespace cryopod::wrapper
