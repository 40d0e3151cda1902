#include "agent/gateway/byte_stream.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "agent/os/file.h"

namespace cryopod::gateway {
namespace {

constexpr size_t kPemBytesMax = 1 << 20;
constexpr size_t kReadBytesMax = 16 << 10;

class PlainStream final : public ByteStream {
 public:
  explicit PlainStream(int fd) : fd_(fd) {}

  IoStep Read(std::string& bytes, size_t size_bytes_max) override {
    char buffer[kReadBytesMax];
    const ssize_t got = ::recv(fd_, buffer, std::min(size_bytes_max, sizeof buffer), 0);
    if (got == 0) return {IoState::kEnded};
    if (got < 0) return Failure(IoState::kWantRead);
    bytes.append(buffer, static_cast<size_t>(got));
    return {IoState::kDone, static_cast<size_t>(got)};
  }
  IoStep Write(std::string_view bytes) override {
    const ssize_t taken = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (taken < 0) return Failure(IoState::kWantWrite);
    return {IoState::kDone, static_cast<size_t>(taken)};
  }
  void EndWriting() override { ::shutdown(fd_, SHUT_WR); }
  bool established() const override { return true; }

 private:
  static IoStep Failure(IoState blocked) {
    return {errno == EAGAIN || errno == EINTR ? blocked : IoState::kFailed};
  }
  const int fd_;
};

struct FreeSsl {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};

class TlsStream final : public ByteStream {
 public:
  TlsStream(SSL* ssl, int fd) : ssl_(ssl), fd_(fd) {}

  // The handshake is part of the first reads.
  IoStep Read(std::string& bytes, size_t size_bytes_max) override {
    char buffer[kReadBytesMax];
    ERR_clear_error();
    size_t got = 0;
    const int result =
        SSL_read_ex(ssl_.get(), buffer, std::min(size_bytes_max, sizeof buffer), &got);
    if (result != 1) return Failure(result);
    bytes.append(buffer, got);
    return {IoState::kDone, got};
  }
  IoStep Write(std::string_view bytes) override {
    ERR_clear_error();
    size_t taken = 0;
    const int result = SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &taken);
    return result == 1 ? IoStep{IoState::kDone, taken} : Failure(result);
  }
  void EndWriting() override {
    ERR_clear_error();
    if (established()) SSL_shutdown(ssl_.get());
    ::shutdown(fd_, SHUT_WR);
  }
  bool established() const override { return SSL_is_init_finished(ssl_.get()) == 1; }

 private:
  IoStep Failure(int result) const {
    switch (SSL_get_error(ssl_.get(), result)) {
      case SSL_ERROR_WANT_READ:
        return {IoState::kWantRead};
      case SSL_ERROR_WANT_WRITE:
        return {IoState::kWantWrite};
      case SSL_ERROR_ZERO_RETURN:
        return {IoState::kEnded};
      default:
        return {IoState::kFailed};
    }
  }
  const std::unique_ptr<SSL, FreeSsl> ssl_;
  const int fd_;
};

struct FreeBio {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using Bio = std::unique_ptr<BIO, FreeBio>;

Bio MemoryOf(const std::string& pem) {
  return Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

// The first certificate is the server's, the others are sent with it.
bool UseCertificates(SSL_CTX* context, const std::string& pem) {
  const Bio memory = MemoryOf(pem);
  X509* const own = PEM_read_bio_X509_AUX(memory.get(), nullptr, nullptr, nullptr);
  if (own == nullptr) return false;
  const bool used = SSL_CTX_use_certificate(context, own) == 1;
  X509_free(own);
  if (!used) return false;
  while (X509* const next = PEM_read_bio_X509(memory.get(), nullptr, nullptr, nullptr)) {
    if (SSL_CTX_add0_chain_cert(context, next) != 1) {
      X509_free(next);
      return false;
    }
  }
  ERR_clear_error();  // the end of the file
  return true;
}

// A key with a password would make OpenSSL ask on the terminal.
int NoPassword(char*, int, int, void*) { return -1; }

EVP_PKEY* ReadKey(const std::string& pem) {
  return PEM_read_bio_PrivateKey(MemoryOf(pem).get(), nullptr, NoPassword, nullptr);
}

}  // namespace

std::unique_ptr<ByteStream> MakePlainStream(int fd) { return std::make_unique<PlainStream>(fd); }

struct TlsServer::Context {
  Context() : context(SSL_CTX_new(TLS_server_method())) {}
  ~Context() { SSL_CTX_free(context); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  SSL_CTX* const context;
};

Result<TlsServer> TlsServer::Load(const std::string& certificate_file,
                                  const std::string& key_file) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string certificate,
                           ReadFile(certificate_file, kPemBytesMax).While("TLS certificate"));
  CRYOPOD_ASSIGN_OR_RETURN(const std::string key,
                           ReadFile(key_file, kPemBytesMax).While("TLS key"));
  auto owned = std::make_unique<Context>();
  SSL_CTX* const context = owned->context;
  if (context == nullptr) return Status(Code::kResourceExhausted, "no memory for TLS");
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  // Resumption would keep state of every client that ever came; a handshake is cheap enough.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
  // Idle connections hold no record buffers; a write may be gone on with from another place.
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  if (!UseCertificates(context, certificate)) {
    return Status(Code::kInvalidArgument, certificate_file + " holds no certificate in PEM form");
  }
  EVP_PKEY* const private_key = ReadKey(key);
  if (private_key == nullptr) {
    return Status(Code::kInvalidArgument,
                  key_file + " holds no private key in PEM form without a password");
  }
  const bool fits =
      SSL_CTX_use_PrivateKey(context, private_key) == 1 && SSL_CTX_check_private_key(context) == 1;
  EVP_PKEY_free(private_key);
  if (!fits) {
    return Status(
        Code::kInvalidArgument,
        "the key in " + key_file + " is not that of the certificate in " + certificate_file);
  }
  return TlsServer(std::move(owned));
}

TlsServer::TlsServer(std::unique_ptr<Context> context) : context_(std::move(context)) {}
TlsServer::TlsServer(TlsServer&&) noexcept = default;
TlsServer& TlsServer::operator=(TlsServer&&) noexcept = default;
TlsServer::~TlsServer() = default;

std::unique_ptr<ByteStream> TlsServer::MakeStream(int fd) const {
  SSL* const ssl = SSL_new(context_->context);
  if (ssl == nullptr) return nullptr;
  if (SSL_set_fd(ssl, fd) != 1) {
    SSL_free(ssl);
    return nullptr;
  }
  SSL_set_accept_state(ssl);
  return std::make_unique<TlsStream>(ssl, fd);
}

}  // namespace cryopod::gateway
