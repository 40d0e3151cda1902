#pragma once

#include "agent/os/status.h"

namespace grpc {
class ClientContext;
class ServerContextBase;
class Status;
}  // namespace grpc

namespace cryopod::api {

// Every RPC of the agent ends with this: gRPC carries code and message, and the stable reason goes
// beside them, as the trailing metadata "cryopod-reason". Call once for each RPC.
grpc::Status ToGrpc(const Status& status, grpc::ServerContextBase& context);

// The other way, for an RPC that has finished. A reason that we do not know, from a newer agent, is
// as good as none: the code stands for it.
Status FromGrpc(const grpc::Status& status, const grpc::ClientContext& context);

}  // namespace cryopod::api
