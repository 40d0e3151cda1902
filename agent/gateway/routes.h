#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "agent/gateway/request_head.h"

namespace cryopod::gateway {

// Everything that can be asked for. Clients that ask the same share one answer, so there are only
// so many questions, however many clients.
enum class Route { kMetrics, kHealthz, kReadyz, kReadyzVerbose, kVersion, kOther };
inline constexpr size_t kRouteCount = 6;

struct RouteNames {
  std::string_view target;  // as the service is asked
  std::string_view label;   // as the metrics count it
};
// In the order of Route.
inline constexpr std::array<RouteNames, kRouteCount> kRoutes = {{{"/metrics", "/metrics"},
                                                                 {"/healthz", "/healthz"},
                                                                 {"/readyz", "/readyz"},
                                                                 {"/readyz?verbose", "/readyz"},
                                                                 {"/version", "/version"},
                                                                 {"/", "other"}}};

inline Route RouteOf(const RequestHead& head) {
  for (size_t i = 0; i + 1 < kRouteCount; ++i) {
    if (head.path != kRoutes[i].label) continue;
    const Route route = static_cast<Route>(i);
    return route == Route::kReadyz && head.query == "verbose" ? Route::kReadyzVerbose : route;
  }
  return Route::kOther;
}

}  // namespace cryopod::gateway
