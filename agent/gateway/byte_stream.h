#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "agent/os/status.h"
#include "agent/os/unique_fd.h"

struct ssl_st;
struct ssl_ctx_st;

namespace cryopod::gateway {

// What a step on a socket that does not block came to.
enum class IoState {
  kDone,       // `size_bytes` > 0
  kWantRead,   // nothing now; go on when the socket can be read
  kWantWrite,  // nothing now; go on when it can be written
  kEnded,      // the peer will send no more
  kFailed,     // the connection is of no further use
};
struct IoStep {
  IoState state = IoState::kFailed;
  size_t size_bytes = 0;
};

// The bytes of one connection, plain or under TLS.
class ByteStream {
 public:
  // Plain.
  explicit ByteStream(UniqueFd fd) : ByteStream(std::move(fd), {nullptr, nullptr}) {}

  // Appends up to `size_bytes_max` bytes. A TLS handshake is part of the first reads.
  IoStep Read(std::string& bytes, size_t size_bytes_max);
  IoStep Write(std::string_view bytes);
  // Says that no more will be written; reading goes on.
  void EndWriting();
  // False until a TLS handshake is over.
  bool established() const;

 private:
  friend class TlsServer;
  using Ssl = std::unique_ptr<ssl_st, void (*)(ssl_st*)>;
  ByteStream(UniqueFd fd, Ssl ssl) : fd_(std::move(fd)), ssl_(std::move(ssl)) {}
  IoState Failure(int ssl_result, IoState blocked) const;

  UniqueFd fd_;
  Ssl ssl_;  // null: plain
};

// A certificate and its key, for the streams of a server.
//
// Source   PEM files: the server's certificate, then its intermediates; the key without password.
// Threads  a stream belongs to one thread.
class TlsServer {
 public:
  // Nothing when neither file is named. Errors: kInvalidArgument (also when only one is),
  // kNotFound, kPermissionDenied; each names the file.
  static Result<std::optional<TlsServer>> Load(const std::string& certificate_file,
                                               const std::string& key_file);

  // Errors: kResourceExhausted.
  Result<ByteStream> MakeStream(UniqueFd fd) const;

 private:
  using Context = std::unique_ptr<ssl_ctx_st, void (*)(ssl_ctx_st*)>;
  explicit TlsServer(Context context) : context_(std::move(context)) {}
  Context context_;
};

}  // namespace cryopod::gateway
