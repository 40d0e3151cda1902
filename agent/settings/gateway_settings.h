#pragma once

#include <cstdint>
#include <string>

#include "agent/settings/program.h"

namespace cryopod::settings {

// Everything that can be told cryopod-gateway. Paths are absolute.
struct GatewaySettings {
  std::string listen = "127.0.0.1:9464";
  std::string agent_socket = "/run/cryopod/reader.sock";
  std::string user;  // whom root becomes; empty: stays who it is
  bool allow_root = false;
  std::string tls_certificate;  // both or none
  std::string tls_key;
  uint32_t check_interval_s = 15;
  uint32_t connections_max = 256;
  uint32_t connections_per_address_max = 192;
  std::string log_level = "info";
};

// The section [gateway], read into `settings`, which must outlive what is returned.
Program GatewayProgram(GatewaySettings& settings, const std::string& version);

}  // namespace cryopod::settings
