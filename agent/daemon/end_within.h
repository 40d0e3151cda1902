#pragma once

#include <chrono>

namespace cryopod::daemon {

// From now on the process lives for `limit` at the most: if main has not returned by then it ends
// all the same, with exit code 0. Whatever is under way stands in the journal, and the next agent
// goes on with it.
//
// Threads  any; call it once.
void EndWithin(std::chrono::milliseconds limit);

}  // namespace cryopod::daemon
