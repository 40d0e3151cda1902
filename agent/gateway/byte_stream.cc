#include "agent/gateway/byte_stream.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "agent/os/file.h"

namespace cryopod::gateway {
namespace {

constexpr size_t kPemBytesMax = 1 << 20;
constexpr size_t kReadBytesMax = 16 << 10;

// A key with a password would make OpenSSL ask on the terminal.
int NoPassword(char*, int, int, void*) { return -1; }

}  // namespace

IoStep ByteStream::Read(std::string& bytes, size_t size_bytes_max) {
  char buffer[kReadBytesMax];
  const size_t wanted = std::min(size_bytes_max, sizeof buffer);
  size_t got = 0;
  int result = 0;
  if (ssl_ != nullptr) {
    ERR_clear_error();
    result = SSL_read_ex(ssl_.get(), buffer, wanted, &got);
  } else if (const ssize_t received = ::recv(fd_.get(), buffer, wanted, 0); received > 0) {
    got = static_cast<size_t>(received);
  } else if (received == 0) {
    return {IoState::kEnded};
  }
  if (got == 0) return {Failure(result, IoState::kWantRead)};
  bytes.append(buffer, got);
  return {IoState::kDone, got};
}

IoStep ByteStream::Write(std::string_view bytes) {
  size_t taken = 0;
  int result = 0;
  if (ssl_ != nullptr) {
    ERR_clear_error();
    result = SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &taken);
  } else {
    const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    taken = sent > 0 ? static_cast<size_t>(sent) : 0;
  }
  if (taken == 0) return {Failure(result, IoState::kWantWrite)};
  return {IoState::kDone, taken};
}

IoState ByteStream::Failure(int ssl_result, IoState blocked) const {
  if (ssl_ == nullptr) return errno == EAGAIN || errno == EINTR ? blocked : IoState::kFailed;
  switch (SSL_get_error(ssl_.get(), ssl_result)) {
    case SSL_ERROR_WANT_READ:
      return IoState::kWantRead;
    case SSL_ERROR_WANT_WRITE:
      return IoState::kWantWrite;
    case SSL_ERROR_ZERO_RETURN:
      return IoState::kEnded;
    default:
      return IoState::kFailed;
  }
}

void ByteStream::EndWriting() {
  ERR_clear_error();
  if (ssl_ != nullptr && established()) SSL_shutdown(ssl_.get());
  ::shutdown(fd_.get(), SHUT_WR);
}

bool ByteStream::established() const {
  return ssl_ == nullptr || SSL_is_init_finished(ssl_.get()) == 1;
}

Result<std::optional<TlsServer>> TlsServer::Load(const std::string& certificate_file,
                                                 const std::string& key_file) {
  if (certificate_file.empty() && key_file.empty()) return std::optional<TlsServer>();
  if (certificate_file.empty() || key_file.empty()) {
    return Status(Code::kInvalidArgument,
                  "tls_certificate and tls_key belong together; only one of them is given");
  }
  // OpenSSL does not say what is the matter with a file.
  CRYOPOD_RETURN_IF_ERROR(
      ReadFile(certificate_file, kPemBytesMax).While("TLS certificate").status());
  CRYOPOD_RETURN_IF_ERROR(ReadFile(key_file, kPemBytesMax).While("TLS key").status());
  Context owned(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  SSL_CTX* const context = owned.get();
  if (context == nullptr) return Status(Code::kResourceExhausted, "no memory for TLS");
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  // Resumption would keep state of every client that ever came; a handshake is cheap enough.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
  // Idle connections hold no record buffers; a write may be gone on with from another place.
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_default_passwd_cb(context, NoPassword);
  if (SSL_CTX_use_certificate_chain_file(context, certificate_file.c_str()) != 1) {
    return Status(Code::kInvalidArgument, certificate_file + " holds no certificate in PEM form");
  }
  // It compares them already when both are of one kind.
  const bool used = SSL_CTX_use_PrivateKey_file(context, key_file.c_str(), SSL_FILETYPE_PEM) == 1;
  if (!used && ERR_GET_LIB(ERR_peek_last_error()) != ERR_LIB_X509) {
    return Status(Code::kInvalidArgument,
                  key_file + " holds no private key in PEM form without a password");
  }
  if (!used || SSL_CTX_check_private_key(context) != 1) {
    return Status(
        Code::kInvalidArgument,
        "the key in " + key_file + " is not that of the certificate in " + certificate_file);
  }
  return std::optional<TlsServer>(TlsServer(std::move(owned)));
}

Result<ByteStream> TlsServer::MakeStream(UniqueFd fd) const {
  ByteStream::Ssl ssl(SSL_new(context_.get()), SSL_free);
  if (ssl == nullptr || SSL_set_fd(ssl.get(), fd.get()) != 1) {
    return Status(Code::kResourceExhausted, "no memory for a TLS connection");
  }
  SSL_set_accept_state(ssl.get());
  return ByteStream(std::move(fd), std::move(ssl));
}

}  // namespace cryopod::gateway
