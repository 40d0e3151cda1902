#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "agent/os/status.h"
#include "agent/os/unique_fd.h"

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
  virtual ~ByteStream() = default;
  // Appends up to `size_bytes_max` bytes.
  virtual IoStep Read(std::string& bytes, size_t size_bytes_max) = 0;
  virtual IoStep Write(std::string_view bytes) = 0;
  // Says that no more will be written; reading goes on.
  virtual void EndWriting() = 0;
  // False until a TLS handshake is over.
  virtual bool established() const = 0;
};

// `fd` is borrowed and outlives the stream.
std::unique_ptr<ByteStream> MakePlainStream(int fd);

// A certificate and its key, for the streams of a server.
//
// Source   PEM files: the server's certificate, then its intermediates; the key without password.
// Threads  a stream belongs to one thread.
class TlsServer {
 public:
  // Errors: kNotFound, kPermissionDenied, kInvalidArgument; each names the file.
  static Result<TlsServer> Load(const std::string& certificate_file, const std::string& key_file);
  TlsServer(TlsServer&&) noexcept;
  TlsServer& operator=(TlsServer&&) noexcept;
  ~TlsServer();

  // Null when there is no memory for it.
  std::unique_ptr<ByteStream> MakeStream(int fd) const;

 private:
  struct Context;
  explicit TlsServer(std::unique_ptr<Context> context);
  std::unique_ptr<Context> context_;
};

}  // namespace cryopod::gateway
