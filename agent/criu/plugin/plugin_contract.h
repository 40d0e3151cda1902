#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/os/record_locks.h"
#include "agent/os/status.h"

// What the launcher, the plugin and whoever starts them agree on.
namespace cryopod::criu {

// A CRIU that gets these in its environment and the plugin by its options file holds what it has
// restored in a frozen cgroup. The launcher takes all three away, and CRYOPOD_HOLD_CONFIG too, when
// the runtime has not put CRIU into that cgroup.
inline constexpr char kHoldCgroup[] = "CRYOPOD_HOLD_CGROUP";        // the container's, a directory
inline constexpr char kRuntimeCgroup[] = "CRYOPOD_RUNTIME_CGROUP";  // where CRIU goes before
inline constexpr char kRecordLocks[] = "CRYOPOD_RECORD_LOCKS";      // a file of FormatLocks
inline constexpr char kHoldConfig[] = "CRYOPOD_HOLD_CONFIG";
inline constexpr char kLauncherLog[] = "CRYOPOD_LAUNCHER_LOG";

// Set to anything, the plugin says that it can be loaded as soon as it is, with these words and a
// line's end on standard output.
inline constexpr char kPluginProbe[] = "CRYOPOD_PLUGIN_PROBE";
inline constexpr char kPluginLoaded[] = "cryopod plugin loaded";

// Lines "PID FD read|write START LENGTH", one a lock that a process held at the cut.
std::string FormatLocks(const std::vector<RecordLock>& locks);
// Errors: kDataLoss.
Result<std::vector<RecordLock>> ParseLocks(std::string_view text);

}  // namespace cryopod::criu
