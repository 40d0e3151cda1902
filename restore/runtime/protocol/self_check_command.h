#pragma once

namespace cryopod::wrapper {

// A word that no OCI runtime knows as a command: cryopod-runtime then says who it is and what it
// would call, and calls nothing.
//
// Shape   key=value lines (restore/runtime/protocol/key_values.h): program=cryopod-runtime,
//         version, agent_socket, state_dir, runtime (a path), launcher (a folder);
//         problem=REASON when one of them cannot be found, or the settings cannot be read.
inline constexpr char kSelfCheckCommand[] = "cryopod-self-check";
inline constexpr char kWrapperName[] = "cryopod-runtime";

}  // namespace cryopod::wrapper
