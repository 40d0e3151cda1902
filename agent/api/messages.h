#pragma once

#include "agent/api/types.h"

namespace cryopod::v1 {
class ArchiveSummary;
class CheckpointEvent;
class CheckpointRequest;
class CheckpointResult;
class ListResponse;
class NodeInfoResponse;
class Requirement;
class RestoreEvent;
class RestoreRequest;
class RestoreResult;
}  // namespace cryopod::v1

namespace cryopod::api {

void ToMessage(const CheckpointRequest& request, v1::CheckpointRequest* message);
void ToMessage(const RestoreRequest& request, v1::RestoreRequest* message);
void ToMessage(const Requirement& requirement, v1::Requirement* message);

Progress FromMessage(const v1::CheckpointEvent& message);
Progress FromMessage(const v1::RestoreEvent& message);
CheckpointResult FromMessage(const v1::CheckpointResult& message);
RestoreResult FromMessage(const v1::RestoreResult& message);
ArchiveSummary FromMessage(const v1::ArchiveSummary& message);
Listing FromMessage(const v1::ListResponse& message);
NodeInfo FromMessage(const v1::NodeInfoResponse& message);

}  // namespace cryopod::api
