#pragma once

#include <set>
#include <string>
#include <vector>

#include "agent/checkpoint/check_members.h"
#include "agent/checkpoint/dump_target.h"

namespace cryopod::checkpoint {

// Who came into the pod while it was dumped, in words: "container app: process 4711 (sleep)". Both
// look at many processes; they are for a capture that is lost already.

// What was born between the two readings: in a container, or on its way into one, since an exec is
// in the PID namespace before it is in the leaf; or that it has ended again.
std::string DescribeBorn(const std::vector<DumpTarget>& targets, const BirthMarks& before,
                         const BirthMarks& now);

// What is in the leaf and not among `dumped`, the PIDs of the container's namespace. Empty:
// nothing.
std::string DescribeUndumped(const DumpTarget& target, const std::set<pid_t>& dumped);

}  // namespace cryopod::checkpoint
