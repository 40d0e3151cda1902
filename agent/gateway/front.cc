#include "agent/gateway/front.h"

#include <utility>

#include "agent/gateway/front_loop.h"

namespace cryopod::gateway {

Result<std::unique_ptr<Front>> Front::Start(UniqueFd listener, std::optional<TlsServer> tls,
                                            uint16_t service_port, const FrontOptions& options,
                                            metrics::GatewayMetrics& metrics) {
  auto loop = std::make_unique<FrontLoop>(std::move(listener), std::move(tls), service_port,
                                          options, metrics);
  CRYOPOD_RETURN_IF_ERROR(loop->Prepare());
  return std::unique_ptr<Front>(new Front(std::move(loop)));
}

Front::Front(std::unique_ptr<FrontLoop> loop)
    : loop_(std::move(loop)), thread_([this] { loop_->Run(); }) {}

Front::~Front() {
  loop_->End();
  thread_.join();
}

}  // namespace cryopod::gateway
