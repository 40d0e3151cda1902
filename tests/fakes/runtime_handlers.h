#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "cri/api.pb.h"

namespace cryopod::test {

// The runtimes of a configuration in containerd's JSON, as Status lists them beside it.
inline void AddRuntimeHandlers(const std::string& config_json,
                               runtime::v1::StatusResponse* response) {
  const nlohmann::json config = nlohmann::json::parse(config_json, nullptr, false);
  const nlohmann::json::json_pointer runtimes("/containerd/runtimes");
  if (!config.is_object() || !config.contains(runtimes)) return;
  for (const auto& runtime : config.at(runtimes).items()) {
    response->add_runtime_handlers()->set_name(runtime.key());
  }
}

}  // namespace cryopod::test
