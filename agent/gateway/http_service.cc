#include "agent/gateway/http_service.h"

#include <cpprest/http_listener.h>
#include <pplx/threadpool.h>

#include <algorithm>
#include <array>
#include <exception>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "agent/gateway/readiness.h"
#include "agent/os/log.h"

namespace cryopod::gateway {
namespace {

using web::http::http_request;
using web::http::http_response;
using web::http::status_code;
using web::http::status_codes;
using web::http::experimental::listener::http_listener;

// cpprestsdk starts 40 unless it is told before its first use. Two, because closing a listener
// occupies one and needs the other.
constexpr size_t kHttpThreads = 2;
constexpr char kText[] = "text/plain; charset=utf-8";
constexpr char kMetricsText[] = "text/plain; version=0.0.4; charset=utf-8";
constexpr char kJson[] = "application/json";
constexpr char kPaths[] = "there are: /metrics /healthz /readyz /version\n";

// The path as the metrics count it: one of ours, never what a client sent.
std::string_view LabelOf(const http_request& request) {
  static constexpr std::array<std::string_view, 4> kRoutes = {"/metrics", "/healthz", "/readyz",
                                                              "/version"};
  const std::string path = request.relative_uri().path();
  const auto* const route = std::find(kRoutes.begin(), kRoutes.end(), path);
  return route == kRoutes.end() ? "other" : *route;
}

// A client that has gone is no reason to stop, and a task's exception that nobody has looked at
// ends the program.
void Reply(const http_request& request, metrics::GatewayMetrics& metrics, http_response response) {
  metrics.CountRequest(LabelOf(request), response.status_code());
  response.headers().add("Cache-Control", "no-store");
  response.headers().add("X-Content-Type-Options", "nosniff");
  try {
    request.reply(response).then([](const pplx::task<void>& sent) {
      try {
        sent.get();
      } catch (const std::exception&) {
      }
    });
  } catch (const std::exception& error) {
    Log(LogLevel::kWarning, "no response", {{"reason", error.what()}});
  }
}

http_response Response(status_code code, std::string body, const std::string& content_type) {
  http_response response(code);
  response.set_body(std::move(body), content_type);
  return response;
}

std::string VersionJson(const NodeState& state) {
  nlohmann::ordered_json json = {{"gateway", CRYOPOD_VERSION}};
  if (state.node) {
    json["agent"] = state.node->agent_version;
    json["criu"] = state.node->criu_version;
    json["runtime"] = state.node->runtime_name + " " + state.node->runtime_version;
    json["kernel"] = state.node->kernel;
  }
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

http_response ReadinessResponse(const AgentWatch& watch, bool verbose) {
  const Readiness readiness = JudgeReadiness(watch.state(), Deadline::Clock::now());
  return Response(readiness.ready ? status_codes::OK : status_codes::ServiceUnavailable,
                  verbose ? readiness.json : readiness.text, verbose ? kJson : kText);
}

void ReplyMetrics(const http_request& request, const HttpService::Parts& parts) {
  parts.agent_metrics.Ask([request, &metrics = parts.metrics](const Result<std::string>& agent) {
    std::string text = agent.ok() ? *agent : std::string();
    if (!text.empty() && text.back() != '\n') text += '\n';
    Reply(request, metrics, Response(status_codes::OK, text + metrics.Serialize(), kMetricsText));
  });
}

http_response MethodRefusal() {
  http_response response = Response(status_codes::MethodNotAllowed, "only GET and HEAD\n", kText);
  response.headers().add("Allow", "GET, HEAD");
  return response;
}

// The front asks to GET for HEAD too (agent/gateway/request_head.h).
void Handle(const http_request& request, const HttpService::Parts& parts) {
  const std::string path = request.relative_uri().path();
  const auto reply = [&](http_response response) {
    Reply(request, parts.metrics, std::move(response));
  };
  if (request.method() != web::http::methods::GET) {
    reply(MethodRefusal());
  } else if (path == "/metrics") {
    ReplyMetrics(request, parts);
  } else if (path == "/healthz") {
    reply(Response(status_codes::OK, "ok\n", kText));
  } else if (path == "/readyz") {
    reply(ReadinessResponse(parts.watch, request.relative_uri().query() == "verbose"));
  } else if (path == "/version") {
    reply(Response(status_codes::OK, VersionJson(parts.watch.state()), kJson));
  } else {
    reply(Response(status_codes::NotFound, kPaths, kText));
  }
}

void LimitThreads() {
  static std::once_flag once;
  std::call_once(once, [] { crossplat::threadpool::initialize_with_threads(kHttpThreads); });
}

class Listener : public HttpService {
 public:
  Listener(const Parts& parts, uint16_t port)
      : parts_(parts), listener_("http://127.0.0.1:" + std::to_string(port) + "/") {
    const auto handler = [this](const http_request& request) { Handle(request, parts_); };
    listener_.support(handler);
    // Which cpprestsdk would answer itself, with the request's own words.
    listener_.support(web::http::methods::OPTIONS, handler);
    listener_.support(web::http::methods::TRCE, handler);
  }
  ~Listener() override {
    // Replies to whoever still waits, while there is a server that takes them.
    parts_.agent_metrics.End();
    try {
      listener_.close().wait();
    } catch (const std::exception& error) {
      Log(LogLevel::kWarning, "closing the HTTP listener", {{"reason", error.what()}});
    }
  }

  void Open() { listener_.open().wait(); }

 private:
  const Parts parts_;
  http_listener listener_;
};

}  // namespace

Result<std::unique_ptr<HttpService>> HttpService::Start(const Parts& parts, uint16_t port) {
  try {
    LimitThreads();
    auto service = std::make_unique<Listener>(parts, port);
    service->Open();
    return std::unique_ptr<HttpService>(std::move(service));
  } catch (const std::exception& error) {
    return Status(Code::kUnavailable,
                  "no HTTP listener on 127.0.0.1:" + std::to_string(port) + ": " + error.what());
  }
}

}  // namespace cryopod::gateway
