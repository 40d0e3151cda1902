#pragma once

#include <cstdint>
#include <string>

#include "agent/jobs/restore_job.h"
#include "agent/os/deadline.h"
#include "agent/os/status.h"

namespace cryopod::restore {

// Writes the memory that was taken out of the container's staged CRIU images (agent/criu/
// split_images.h) into its restored, stopped processes; without such memory it does nothing. What
// CRIU reads goes through the page faults of the restored process, a page at a time; this does not.
//
// Returns how many bytes were written. The list is of a stranger's making: a run may lead nowhere
// but into memory that its process can write to itself. What is written counts as the container's.
// The kernel may kill a process that goes above the container's limit: it is an error.
//
// Source  process_vm_writev(2). Errors  kDataLoss (the list, the kept pages, or an address where no
//         memory is), kNotFound (a process that is not there), kFailedPrecondition (one that
//         ended), kDeadlineExceeded; those of files. Some memory is then written, and some is not.
Result<uint64_t> FillMemory(const jobs::ContainerReport& container, const std::string& images_dir,
                            Deadline deadline);

}  // namespace cryopod::restore
