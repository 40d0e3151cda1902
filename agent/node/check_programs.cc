#include <sys/mman.h>
#include <unistd.h>

#include <string_view>

#include "agent/archive/unpack/unpack.h"
#include "agent/criu/criu_client.h"
#include "agent/criu/plugin/check_plugin.h"
#include "agent/node/checks.h"
#include "agent/os/file.h"
#include "agent/os/unix_socket.h"

namespace cryopod::node {
namespace {

constexpr char kInstallAgain[] =
    "install the whole of cryopod into one prefix, or name its folder as libexec_dir";

// 1024 zero bytes under zstd: a tar that has no entries.
constexpr std::string_view kEmptyBlob(
    "\x28\xb5\x2f\xfd\x00\x58\x4d\x00\x00\x10\x00\x00\x01\x00\xfb\x2b\x80\x05", 18);

Status UnpackEmptyBlob(const std::string& program, Deadline deadline) {
  const UniqueFd blob(::memfd_create("cryopod-probe", MFD_CLOEXEC));
  if (!blob.valid()) return ErrnoStatus(errno, "memfd_create", "a blob");
  CRYOPOD_RETURN_IF_ERROR(WriteAll(blob.get(), kEmptyBlob));
  if (::lseek(blob.get(), 0, SEEK_SET) != 0) return ErrnoStatus(errno, "lseek", "a blob");
  CRYOPOD_ASSIGN_OR_RETURN(const archive::Pipe pipe, archive::MakePipe());
  CRYOPOD_ASSIGN_OR_RETURN(
      archive::UnpackProcess process,
      archive::UnpackProcess::Start(program, {archive::UnpackMode::kEmit, {}, 0}, blob.get(),
                                    pipe.write.get(), deadline));
  return process.Wait(deadline);
}

}  // namespace

Finding CheckCriu(const settings::AgentSettings& settings, Deadline deadline) {
  const Result<criu::Version> version = criu::CheckVersion(settings.criu_program, deadline);
  if (version.ok()) return Finding::Met("CRIU " + version->text());
  return Finding::Lacking(
      "", version.status().message(),
      "install CRIU " + criu::MinimumText() + ", or name it as criu in the configuration");
}

Finding CheckCriuFeatures(const settings::AgentSettings& settings, Deadline deadline) {
  const Status features = criu::CheckFeatures(settings.criu_program, deadline);
  if (features.ok()) return Finding::Met("what CRIU asks of the kernel is there");
  return Finding::Lacking("", features.message(),
                          "run `criu check` as root: it says what of the kernel's configuration "
                          "is missing");
}

Finding CheckCriuPlugin(const settings::AgentSettings& settings, Deadline deadline) {
  const std::string plugin = settings.hold_plugin();
  const Status loads = criu::CheckHoldPlugin(plugin, settings.criu_program, deadline);
  if (loads.ok()) return Finding::Met(plugin);
  return Finding::Met("restored processes are held by stop signals, which they can see: " +
                      loads.message());
}

Finding CheckInnerPrograms(const settings::AgentSettings& settings) {
  for (const std::string& program : {settings.checkpoint_program(), settings.restore_program()}) {
    if (::access(program.c_str(), X_OK) != 0) {
      return Finding::Lacking("", program + " is missing", kInstallAgain);
    }
  }
  return Finding::Met(settings.libexec_dir);
}

Finding CheckUnpack(const settings::AgentSettings& settings, Deadline deadline) {
  const std::string program = settings.unpack_program();
  if (::access(program.c_str(), X_OK) != 0) {
    return Finding::Lacking("", program + " is missing", kInstallAgain);
  }
  const Status unpacked = UnpackEmptyBlob(program, deadline);
  if (unpacked.ok()) return Finding::Met("gives up its rights, and works");
  return Finding::Lacking(
      "", program + " cannot be used: " + unpacked.message(),
      "run cryopod-agent as root on a kernel with seccomp filters; without it no archive is read");
}

Finding CheckRuntimeSocket(const settings::AgentSettings& settings, Deadline deadline) {
  const std::string path = settings.runtime_socket();
  const Result<UniqueFd> connected = ConnectUnix(path, deadline);
  if (connected.ok()) return Finding::Met(path);
  return Finding::Lacking(
      "", connected.status().message() + ", so that no pod of handler cryopod can be restored",
      "restart cryopod-agent, which makes this socket");
}

}  // namespace cryopod::node
