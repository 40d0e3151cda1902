#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/archive/tar/layer_entry.h"
#include "agent/os/status.h"

namespace cryopod::archive {

// What cryopod-unpack is told, by argv and by descriptor numbers; it takes nothing from anywhere
// else.
//
// Shape  cryopod-unpack MODE BYTES_MAX ENTRIES_MAX CPU_SECONDS
//
//        images  kUnpackInputFd a blob of PackFiles, kUnpackOutputFd an empty directory; if it is
//                one of CRIU images then, its memory is split (agent/criu/images/split_images.h)
//        layout  kUnpackInputFd an oci-archive tar, kUnpackOutputFd an empty directory, in which
//                an archive lies then whose documents have all been read
//                (agent/archive/store/settle_layout.h)
//        layer   kUnpackInputFd an OCI layer, kUnpackOutputFd a pipe (unpack_stream.h)
//        emit    kUnpackInputFd a blob of PackFiles, kUnpackOutputFd a pipe
//        documents  the same, of the files only kRequestDocuments, each read and written anew
//        rewrite kUnpackInputFd what a fresh container would hold (agent/criu/images/live_rules.h),
//                kUnpackOutputFd the directory of unpacked CRIU images
//
//        kUnpackReportFd is a pipe that gets one line, "<code number> <message>", when something is
//        wrong; the exit code is then 1. Exit code 0: everything was unpacked, 2: wrong arguments.
inline constexpr int kUnpackInputFd = 3;
inline constexpr int kUnpackOutputFd = 4;
inline constexpr int kUnpackReportFd = 5;
inline constexpr size_t kUnpackReportBytesMax = 4096;

// Whom root becomes before it reads a byte: nobody else on the node. systemd's table has it among
// what nobody gives out, and it is above what OpenShift hands to namespaces.
// Source: https://systemd.io/UIDS-GIDS/
inline constexpr uid_t kUnpackUser = 2'100'000'000;

// The files of a metadata layer of which a pod's request is rebuilt: JSON objects.
inline constexpr std::array<std::string_view, 2> kRequestDocuments = {"pod.dump",
                                                                      "container-config.json"};

// In the order of their names in unpack_task.cc.
enum class UnpackMode { kImages, kLayout, kLayer, kEmit, kDocuments, kRewrite };

struct UnpackTask {
  UnpackMode mode = UnpackMode::kImages;
  UnpackLimits limits;
  uint64_t cpu_seconds = 0;  // RLIMIT_CPU; UnpackProcess sets it from the deadline
};

std::vector<std::string> ToArguments(const std::string& program, const UnpackTask& task);
// nullopt when it is anything but what ToArguments makes.
std::optional<UnpackTask> ParseArguments(int argc, const char* const* argv);

std::string FormatReport(const Status& status);
// Reads what the child wrote: any bytes. The text comes back printable, the code is one that
// unpacking can end with. Never ok.
Status ParseReport(std::string_view text);

}  // namespace cryopod::archive
