#pragma once

#include <cstdint>
#include <string>

#include "agent/os/status.h"

namespace cryopod::gateway {

// Everything that can be told the gateway. Paths are absolute.
struct Config {
  std::string listen = "127.0.0.1:9464";                  // ADDRESS:PORT; [ADDRESS]:PORT for IPv6
  std::string agent_socket = "/run/cryopod/reader.sock";  // the readers' socket of the agent
  std::string user;                                       // whom root becomes; empty: stays
  bool allow_root = false;                                // go on as root
  std::string tls_certificate;                            // PEM; empty: no TLS
  std::string tls_key;                                    // PEM, without a password
  uint32_t check_interval_s = 15;                         // between questions for the node's state
  uint32_t connections_max = 256;                         // of all clients
  uint32_t connections_per_address_max = 192;             // an IPv4 address, an IPv6 /64
  std::string log_level = "info";
};

// Parses the command line. `exit_code` is -1 when the program should go on, else what main returns
// (--help, --version, a bad flag; the text has been printed).
Config ParseCommandLine(int argc, const char* const* argv, int& exit_code);

// Checks what flags cannot. Errors name the key.
Status CheckConfig(const Config& config);

}  // namespace cryopod::gateway
