#pragma once

#include "agent/criu/images/live_rules.h"
#include "agent/os/status.h"

namespace cryopod::criu {

// Makes the CRIU images of one container those of a container of the live request: whoever wrote
// the archive has chosen what stands in them, and CRIU does what stands there with all rights of
// the node. Afterwards nothing is in them that a fresh container would not have.
//
// Rewritten: capability sets are cut to the live ones, supplementary groups to those that it has,
// no_new_privs is set, the LSM label, oom_score_adj and the audit identity are the live ones, hard
// limits are lowered, real-time policies and raised priorities go, mounts get the flags of the live
// ones, every task gets the live seccomp filters (judge_filters.h).
//
// Refused, with both sides named: what a tmpfs may not hold (judge_tmpfs.h), users and groups that
// the live request cannot become, chains of filters that lead nowhere or hand calls to somebody
// else, descriptors that need rights it has not, images that CRIU does not write of a container,
// and any field that is not known here. restore/image_fields.md has the whole table.
//
// Hostile input. Doing it again changes nothing. After an error the images are of no use any more.
//
// Source   CRIU 4.2, images/*.proto, criu/image-desc.c, cr-restore.c, seccomp.c, lsm.c.
// Errors   kPermissionDenied (too much); kDataLoss (no such image, names it); those of files.
Status JudgeImages(int images_dir_fd, const LiveRules& rules);

// Pure: an image that a dump of a container may hold. Names are those of image-desc.c.
bool IsImageOfContainer(std::string_view name, const LiveRules& rules);

}  // namespace cryopod::criu
