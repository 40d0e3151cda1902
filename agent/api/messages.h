#pragma once

#include "agent/api/types.h"

namespace cryopod::v1 {
class ArchiveSummary;
class CheckpointRequest;
class CheckpointResult;
class ListResponse;
class NodeInfoResponse;
class Operation;
class OperationEvent;
class RestoreRequest;
class RestoreResult;
}  // namespace cryopod::v1

namespace cryopod::api {

void ToMessage(const CheckpointRequest& request, v1::CheckpointRequest* message);
void ToMessage(const RestoreRequest& request, v1::RestoreRequest* message);
void ToMessage(const CheckpointResult& result, v1::CheckpointResult* message);
void ToMessage(const RestoreResult& result, v1::RestoreResult* message);
void ToMessage(const ArchiveSummary& summary, v1::ArchiveSummary* message);
void ToMessage(const Operation& operation, v1::Operation* message);
void ToMessage(const Progress& progress, v1::OperationEvent* message);
void ToMessage(const NodeInfo& node, v1::NodeInfoResponse* message);

CheckpointRequest FromMessage(const v1::CheckpointRequest& message);
RestoreRequest FromMessage(const v1::RestoreRequest& message);
Progress FromMessage(const v1::OperationEvent& message);
CheckpointResult FromMessage(const v1::CheckpointResult& message);
RestoreResult FromMessage(const v1::RestoreResult& message);
ArchiveSummary FromMessage(const v1::ArchiveSummary& message);
Listing FromMessage(const v1::ListResponse& message);
NodeInfo FromMessage(const v1::NodeInfoResponse& message);

}  // namespace cryopod::api
